/* Notes which files a process and its children open, rename and start, in a file mapped by all of them.
 *
 * Compiled on first use and put into the processes of `tidemill run` by LD_PRELOAD. A note costs one fstat and a copy:
 * no descriptor stays open, no lock is taken, no memory allocated, errno is kept; async-signal-safe as open(2) is. A
 * full log counts what it loses. The layout is read by tidemill/stages/capture/notes.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <spawn.h>

#define MAGIC 0x4c44544dU
#define HEAD 8192
#define WAYS 8
#define PATHS 4096
enum { OPENED = 1, WROTE = 2, RENAMED = 3, STARTED = 4 };

struct head {
    uint64_t format, bytes, slots;              /* of the file; slots of the table, a power of two */
    _Atomic uint64_t used, lost;                /* bytes of the log; notes that found no place */
    char skipped[HEAD - 40];                    /* prefixes whose files nobody asks for, each ended by NUL */
};
struct note {
    uint32_t magic, size;                       /* size of the whole note, a multiple of 8 */
    _Atomic uint32_t kind;                      /* written last: a note without a kind is not finished */
    int32_t pid;
    uint32_t flags, mode;
    uint64_t device, inode, bytes;
    int64_t changed, at;                        /* nanoseconds: mtime, and the time of the note */
    char text[];
};

static struct head *head;
static _Atomic uint64_t *table;
static char *notes;
static uint64_t room;

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int skipped(const char *path) {
    for (const char *each = head->skipped; *each; each += strlen(each) + 1)
        if (!strncmp(path, each, strlen(each))) return 1;
    return 0;
}

static uint64_t mix(uint64_t h, const void *data, size_t n) {
    for (const unsigned char *p = data; n--; p++) h = (h ^ *p) * 0x100000001b3ULL;
    return h ^ (h >> 29);
}

/* Whether this was noted before, by any process: eight places for each hash, the first free one is taken. */
static int known(uint64_t h) {
    h |= 1;
    _Atomic uint64_t *set = table + ((h >> 8) & (head->slots - 1) & ~(uint64_t)(WAYS - 1));
    for (int i = 0; i < WAYS; i++) {
        uint64_t was = 0;
        if (atomic_load_explicit(set + i, memory_order_relaxed) == h) return 1;
        if (atomic_compare_exchange_strong(set + i, &was, h)) return 0;
        if (was == h) return 1;
    }
    atomic_store_explicit(set + ((h >> 40) & (WAYS - 1)), h, memory_order_relaxed);
    return 0;
}

static void write_note(uint32_t kind, uint32_t flags, const struct stat *st, const char *a, size_t n, const char *b, size_t m) {
    uint64_t size = (sizeof(struct note) + n + m + 2 + 7) & ~(uint64_t)7;
    uint64_t at = atomic_fetch_add(&head->used, size);
    if (at + size > room) { atomic_fetch_add(&head->lost, 1); return; }
    struct note *note = (struct note *)(notes + at);
    struct timespec now;
    note->size = (uint32_t)size;
    note->magic = MAGIC;
    note->pid = (int32_t)getpid();
    note->flags = flags;
    if (st) {
        note->mode = st->st_mode, note->device = st->st_dev, note->inode = st->st_ino, note->bytes = (uint64_t)st->st_size;
        note->changed = st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    note->at = now.tv_sec * 1000000000LL + now.tv_nsec;
    memcpy(note->text, a, n);
    memcpy(note->text + n + 1, b, m);
    atomic_store_explicit(&note->kind, kind, memory_order_release);
}

/* The absolute path, not cleaned of dots; NULL when it is too long. */
static const char *absolute(int folder, const char *path, char *buffer) {
    size_t n = 0, m = strlen(path);
    if (m >= PATHS) return NULL;
    if (*path == '/') return path;
    if (folder == AT_FDCWD) {
        long got = syscall(SYS_getcwd, buffer, PATHS);
        if (got <= 0) return NULL;
        n = (size_t)got - 1;
    } else {
        char link[40];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t got = readlink(link, buffer, PATHS);
        if (got <= 0 || got >= PATHS) return NULL;
        n = (size_t)got;
    }
    if (n + m + 2 > PATHS) return NULL;
    buffer[n] = '/';
    memcpy(buffer + n + 1, path, m + 1);
    return buffer;
}

static void opened(int fd, int folder, const char *path, int flags) {
    if (!head || fd < 0 || !path || (flags & (O_DIRECTORY | O_PATH))) return;
    int writes = (flags & O_ACCMODE) != O_RDONLY, saved = errno;
    if (*path == '/' && skipped(path)) return;
    struct stat st;
    char buffer[PATHS];
    const char *whole;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && (whole = absolute(folder, path, buffer)) && !skipped(whole)) {
        size_t n = strlen(whole);
        uint32_t kind = writes ? WROTE : OPENED;
        uint64_t h = mix(mix(0xcbf29ce484222325ULL, whole, n), &kind, sizeof kind);
        h = mix(h, &st.st_ino, sizeof st.st_ino);
        /* what was read is noted again when its content is another; what is written, once */
        if (!writes) h = mix(mix(h, &st.st_size, sizeof st.st_size), &st.st_mtim, sizeof st.st_mtim);
        if (!known(h)) write_note(kind, (uint32_t)flags, &st, whole, n, "", 0);
    }
    errno = saved;
}

static void renamed(int from_folder, const char *from, int to_folder, const char *to) {
    if (!head || !from || !to) return;
    int saved = errno;
    struct stat st;
    char one[PATHS], two[PATHS];
    const char *a = absolute(from_folder, from, one), *b = absolute(to_folder, to, two);
    if (a && b && !skipped(b) && !lstat(b, &st)) write_note(RENAMED, 0, &st, a, strlen(a), b, strlen(b));
    errno = saved;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TIDEMILL_CAPTURE");
    if (!path || head) return;
    int saved = errno, fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    struct stat st;
    if (fd >= 0 && !fstat(fd, &st) && st.st_size > HEAD) {
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        struct head *found = map;
        if (map != MAP_FAILED && found->format == 1 && found->bytes == (uint64_t)st.st_size) {
            table = (_Atomic uint64_t *)((char *)map + HEAD);
            notes = (char *)(table + found->slots);
            room = found->bytes - HEAD - found->slots * 8;
            head = found;
        }
    }
    if (fd >= 0) syscall(SYS_close, fd);
    if (head && (fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0)) >= 0) {
        char line[512];
        ssize_t n = read(fd, line, sizeof line);
        syscall(SYS_close, fd);
        for (ssize_t i = 0; i < n; i++) if (!line[i]) line[i] = '\x1f';
        if (n > 0) write_note(STARTED, (uint32_t)getppid(), NULL, line, (size_t)n, "", 0);
    }
    errno = saved;
}

static int by_mode(const char *mode) { /* the flags that fopen makes of it */
    int plus = mode && strchr(mode, '+') != NULL;
    if (!mode || *mode == 'r') return plus ? O_RDWR : O_RDONLY;
    return (plus ? O_RDWR : O_WRONLY) | O_CREAT | (*mode == 'w' ? O_TRUNC : O_APPEND);
}

#define MODE \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { MODE REAL(name); int fd = real(path, flags, mode); opened(fd, AT_FDCWD, path, flags); return fd; }
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { MODE REAL(name); int fd = real(folder, path, flags, mode); opened(fd, folder, path, flags); return fd; }
#define CREAT(name) \
    int name(const char *path, mode_t mode) { REAL(name); int fd = real(path, mode); opened(fd, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC); return fd; }
#define FOPEN(name) \
    FILE *name(const char *restrict path, const char *restrict mode) { REAL(name); FILE *f = real(path, mode); if (f) opened(fileno(f), AT_FDCWD, path, by_mode(mode)); return f; }
#define FREOPEN(name) \
    FILE *name(const char *restrict path, const char *restrict mode, FILE *restrict old) { REAL(name); FILE *f = real(path, mode, old); if (f) opened(fileno(f), AT_FDCWD, path, by_mode(mode)); return f; }
#define FORTIFIED(name) \
    int name(const char *path, int flags); \
    int name(const char *path, int flags) { REAL(name); int fd = real(path, flags); opened(fd, AT_FDCWD, path, flags); return fd; }
#define FORTIFIEDAT(name) \
    int name(int folder, const char *path, int flags); \
    int name(int folder, const char *path, int flags) { REAL(name); int fd = real(folder, path, flags); opened(fd, folder, path, flags); return fd; }

OPEN(open) OPENAT(openat) CREAT(creat) FOPEN(fopen) FREOPEN(freopen)
#ifdef __GLIBC__
OPEN(open64) OPENAT(openat64) CREAT(creat64) FOPEN(fopen64) FREOPEN(freopen64)
FORTIFIED(__open_2) FORTIFIED(__open64_2) FORTIFIEDAT(__openat_2) FORTIFIEDAT(__openat64_2)
#endif

int rename(const char *from, const char *to) {
    REAL(rename);
    int done = real(from, to);
    if (!done) renamed(AT_FDCWD, from, AT_FDCWD, to);
    return done;
}
int renameat(int a, const char *from, int b, const char *to) {
    REAL(renameat);
    int done = real(a, from, b, to);
    if (!done) renamed(a, from, b, to);
    return done;
}
#ifdef __GLIBC__
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    REAL(renameat2);
    int done = real(a, from, b, to, flags);
    if (!done) renamed(a, from, b, to);
    return done;
}
#endif

/* A child that is given an environment of its own is seen as well: the two variables go with it. */
static char *variables[2]; /* "LD_PRELOAD=…", "TIDEMILL_CAPTURE=…" as they were when the process began */
__attribute__((constructor)) static void keep_variables(void) {
    extern char **environ;
    static char kept[2][PATHS];
    for (char **each = environ; each && *each; each++)
        for (int i = 0; i < 2; i++)
            if (!strncmp(*each, i ? "TIDEMILL_CAPTURE=" : "LD_PRELOAD=", i ? 17 : 11) && strlen(*each) < PATHS) {
                strcpy(kept[i], *each);
                variables[i] = kept[i];
            }
}
static size_t count(char *const *list) {
    size_t n = 0;
    while (list && list[n]) n++;
    return n;
}
static char *const *with_variables(char *const *given, char **space, size_t n) {
    int preload = 0, capture = 0;
    for (size_t i = 0; i < n; i++) {
        preload |= !strncmp(given[i], "LD_PRELOAD=", 11);
        capture |= !strncmp(given[i], "TIDEMILL_CAPTURE=", 17);
    }
    if (!head || preload || capture || !variables[0] || !variables[1] || n > 4096) return given;
    memcpy(space, given, n * sizeof *space);
    space[n] = variables[0], space[n + 1] = variables[1], space[n + 2] = NULL;
    return space;
}
#define SPACE(given) size_t n = count(given); char *space[n > 4096 ? 3 : n + 3]

int execve(const char *path, char *const arguments[], char *const given[]) {
    REAL(execve);
    SPACE(given);
    return real(path, arguments, with_variables(given, space, n));
}
int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                char *const arguments[], char *const given[]) {
    REAL(posix_spawn);
    SPACE(given);
    return real(pid, path, actions, attributes, arguments, with_variables(given, space, n));
}
int posix_spawnp(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                 char *const arguments[], char *const given[]) {
    REAL(posix_spawnp);
    SPACE(given);
    return real(pid, path, actions, attributes, arguments, with_variables(given, space, n));
}
