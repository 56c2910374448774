/* A server that answers every request with the same few bytes: null PORT

It does what any server must (wait for a socket, read, write) and nothing else: what a client sees of it is the floor
of client, kernel and machine. A request is taken to arrive in one piece, as it does on the loopback.
*/

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}";

int main(int count, char **given) {
  static char request[1 << 20];
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct epoll_event wanted = {.events = EPOLLIN}, seen[64];
  int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0), poller = epoll_create1(0);
  if (count != 2) return 2;
  here.sin_port = htons(atoi(given[1]));
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 128)) return 1;
  wanted.data.fd = listener;
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &wanted);
  for (;;) {
    int ready = epoll_wait(poller, seen, 64, -1);
    for (int number = 0; number < ready; number++) {
      int from = seen[number].data.fd;
      if (from == listener) {
        wanted.data.fd = accept(listener, NULL, NULL);
        setsockopt(wanted.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_ctl(poller, EPOLL_CTL_ADD, wanted.data.fd, &wanted);
      } else if (read(from, request, sizeof request) <= 0 || write(from, answer, sizeof answer - 1) < 0) {
        close(from);
      }
    }
  }
}
