/* Requests at a rate, each when it is due: pace PORT REQUESTS RATE SECONDS CONNECTIONS > LOG

Request number n is due n / RATE seconds after the start, whatever became of those before it, and goes out on whichever
connection is free; where none is, it waits, and its latency counts from when it was due all the same (no coordinated
omission). With a RATE of 0 each connection sends its next request as soon as it has its answer.

REQUESTS holds what is sent, as written on the wire, each behind its length (4 bytes, this machine's order); they are
sent in turn. A line of LOG is one request: when it was due, when this program noticed, when it was sent and answered, in
nanoseconds from the start, and the status (0 where the connection ended, or no answer came). From due to noticed is this
program's own hiccup; from noticed to sent, the wait for a free connection. The log is kept in memory until the end.

It asks the clock and the sockets in turn and never sleeps, so that it notices within microseconds: give it a CPU.
*/

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 18, PATIENCE = 10 }; /* bytes of an answer; seconds that the last answers get */

struct request { const char *bytes; uint32_t length; };
struct entry { int64_t due, noticed, sent, answered; int status; };
struct connection { int socket; long carries; size_t held; char answer[ROOM + 1]; }; /* carries an entry, or -1 */

static struct sockaddr_in server;
static struct request *requests;
static struct connection *connections;
static struct entry *entries;
static long request_count, entry_count, entry_room, sent_count; /* entries wait, in order, from sent_count on */
static int poller;

static void fail(const char *what) {
  fprintf(stderr, "pace: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void read_requests(const char *path) {
  FILE *file = fopen(path, "rb");
  uint32_t length;
  if (!file) fail(path);
  while (fread(&length, sizeof length, 1, file) == 1) {
    char *bytes = malloc(length);
    if (!bytes || fread(bytes, 1, length, file) != length) fail(path);
    requests = realloc(requests, (request_count + 1) * sizeof *requests);
    requests[request_count++] = (struct request){bytes, length};
  }
  fclose(file);
  if (!request_count) fail("no request");
}

static void connect_to_server(struct connection *one) {
  int at_once = 1;
  struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = one};
  one->socket = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(one->socket, (struct sockaddr *)&server, sizeof server)) fail("connect");
  setsockopt(one->socket, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
  epoll_ctl(poller, EPOLL_CTL_ADD, one->socket, &wanted);
  one->carries = -1;
  one->held = 0;
}

static void notice(int64_t due, int64_t now) {
  if (entry_count == entry_room) {
    entry_room = entry_room ? 2 * entry_room : 1 << 20;
    entries = realloc(entries, entry_room * sizeof *entries);
    if (!entries) fail("memory");
  }
  entries[entry_count++] = (struct entry){due, now, -1, -1, 0};
}

static void send_next(struct connection *one, int64_t began) {
  const struct request *request = &requests[sent_count % request_count];
  uint32_t gone = 0;
  one->held = 0;
  one->carries = sent_count++;
  entries[one->carries].sent = nanoseconds() - began;
  while (gone < request->length) {
    ssize_t some = send(one->socket, request->bytes + gone, request->length - gone, MSG_NOSIGNAL);
    if (some < 0) return; /* the end of the connection is read next */
    gone += some;
  }
}

/* Whether the answer is whole: by its Content-Length, or by the last chunk. */
static bool whole(struct connection *one) {
  one->answer[one->held] = 0;
  const char *body = strstr(one->answer, "\r\n\r\n");
  if (!body) return false;
  body += 4;
  const char *length = strcasestr(one->answer, "\r\ncontent-length:");
  size_t here = one->answer + one->held - body;
  if (length && length < body) return here >= strtoul(length + 17, NULL, 10);
  return here >= 5 && !memcmp(one->answer + one->held - 5, "0\r\n\r\n", 5);
}

static void receive(struct connection *one, int64_t began) {
  ssize_t some = recv(one->socket, one->answer + one->held, ROOM - one->held, MSG_DONTWAIT);
  if (some < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (some > 0) one->held += some;
  if (some > 0 && (one->carries < 0 || !whole(one))) return;
  if (one->carries >= 0) {
    entries[one->carries].answered = nanoseconds() - began;
    entries[one->carries].status = some > 0 ? atoi(one->answer + 9) : 0; /* HTTP/1.1 200 */
    one->carries = -1;
  }
  if (some <= 0) {
    close(one->socket);
    connect_to_server(one);
  }
}

static struct connection *idle(int count) {
  static int turn;
  for (int tried = 0; tried < count; tried++) {
    turn = (turn + 1) % count;
    if (connections[turn].carries < 0) return &connections[turn];
  }
  return NULL;
}

static bool outstanding(int count) {
  for (int number = 0; number < count; number++)
    if (connections[number].carries >= 0) return true;
  return sent_count < entry_count;
}

static void run(double rate, int64_t length, int count) {
  struct epoll_event seen[64];
  struct connection *one;
  int64_t began = nanoseconds(), now = 0, due;
  while (now < length || (outstanding(count) && now < length + PATIENCE * 1000000000LL)) {
    int ready = epoll_wait(poller, seen, 64, 0);
    for (int number = 0; number < ready; number++) receive(seen[number].data.ptr, began);
    now = nanoseconds() - began;
    while (rate > 0 && (due = (int64_t)(entry_count / rate * 1e9)) <= now && due < length) notice(due, now);
    while ((sent_count < entry_count || (rate == 0 && now < length)) && (one = idle(count))) {
      if (sent_count == entry_count) notice(now, now);
      send_next(one, began);
    }
  }
}

int main(int count, char **given) {
  if (count != 6) {
    fprintf(stderr, "pace PORT REQUESTS RATE SECONDS CONNECTIONS > LOG\n");
    return 2;
  }
  int number = atoi(given[5]);
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(given[1]))};
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  read_requests(given[2]);
  poller = epoll_create1(0);
  connections = calloc(number, sizeof *connections);
  for (int each = 0; each < number; each++) connect_to_server(&connections[each]);
  run(atof(given[3]), (int64_t)(atof(given[4]) * 1e9), number);
  for (long each = 0; each < entry_count; each++) {
    const struct entry *it = &entries[each];
    printf("%lld %lld %lld %lld %d\n", (long long)it->due, (long long)it->noticed, (long long)it->sent,
           (long long)it->answered, it->status);
  }
  return 0;
}
