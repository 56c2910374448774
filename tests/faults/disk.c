/* A disk that is slow or broken, for one program: LD_PRELOAD of write, fsync and fdatasync.
 *
 * FAULTY_PATH names a part of the paths that are on this disk. FAULTY_FILE has four numbers of 32 bits, read anew at
 * each call: milliseconds that a write takes, its error (an errno, or 0), and the same of fsync and fdatasync. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile int32_t *settings;
static const char *place;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAULTY_FILE");
    place = getenv("FAULTY_PATH");
    int file = name && place ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *found = mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) settings = found;
    close(file);
}

/* Waits in small steps, so that a disk that is well again is so for who waits already. */
static int trouble(int file, int at) {
    char link[64], path[4096];
    if (!settings || (!settings[at] && !settings[at + 1])) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, place)) return 0;
    struct timespec step = {0, 1000000};
    for (int passed = 0; passed < settings[at]; passed++) nanosleep(&step, NULL);
    return settings[at + 1];
}

ssize_t write(int file, const void *content, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    int error = trouble(file, 0);
    if (error) { errno = error; return -1; }
    return real(file, content, size);
}

static int (*real_sync(const char *name))(int) { return dlsym(RTLD_NEXT, name); }

int fsync(int file) {
    int error = trouble(file, 2);
    if (error) { errno = error; return -1; }
    return real_sync("fsync")(file);
}

int fdatasync(int file) {
    int error = trouble(file, 2);
    if (error) { errno = error; return -1; }
    return real_sync("fdatasync")(file);
}
