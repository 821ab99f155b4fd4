// The floor: the least that a server of this protocol can do and still keep its promise. It reads
// frames, appends their bodies to one file, syncs once per round of its event loop, and
// acknowledges. No parsing, no validation, no order of agencies, no draw. How far the central is
// from it is what everything else in the central costs.
//
//   floor FILE        listens on a free port of this machine and prints it; ends on SIGTERM
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  EVENTS_MAX = 1024,         // connections that are read in one round
  ROUND_BYTES = 8 << 20,     // bodies that are gathered for one write
  READ_BYTES_MIN = 1 << 16,  // room that a read is given at the least
  INPUT_BYTES = 1 << 18,     // what a connection's buffer begins with
  ACKNOWLEDGED_MAX = 64      // acknowledgements that are sent with one call
};

typedef struct {
  int fd;
  char *input;
  size_t length, capacity;
  int owed;  // acknowledgements, once this round is on disk
} Connection;

static const char answer[] = "{\"type_message\": 1, \"payload\": null}";
enum { ANSWER_BYTES = 4 + sizeof answer - 1 };

static int file;
static char gathered[ROUND_BYTES];
static size_t gatheredBytes;

static void stop(const char *what) {
  perror(what);
  exit(1);
}

static void writeGathered(void) {
  for (size_t at = 0; at < gatheredBytes;) {
    ssize_t wrote = write(file, gathered + at, gatheredBytes - at);
    if (wrote < 0) stop("write");
    at += (size_t)wrote;
  }
  gatheredBytes = 0;
}

static void gather(const char *body, size_t length) {
  if (gatheredBytes + length > ROUND_BYTES) writeGathered();
  if (length > ROUND_BYTES) exit(1);
  memcpy(gathered + gatheredBytes, body, length);
  gatheredBytes += length;
}

static void closeConnection(Connection *connection) {
  close(connection->fd);
  free(connection->input);
  free(connection);
}

// Reads once and gathers the whole frames. False when the connection is gone.
static bool receive(Connection *connection) {
  if (connection->capacity - connection->length < READ_BYTES_MIN) {
    connection->capacity *= 2;
    connection->input = realloc(connection->input, connection->capacity);
    if (connection->input == NULL) stop("memory");
  }
  ssize_t got = recv(connection->fd, connection->input + connection->length,
                     connection->capacity - connection->length, 0);
  if (got < 0 && errno == EAGAIN) return true;
  if (got <= 0) return false;
  connection->length += (size_t)got;
  size_t at = 0;
  while (connection->length - at >= 4) {
    unsigned size;
    memcpy(&size, connection->input + at, 4);
    size = ntohl(size);
    if (connection->length - at - 4 < size) break;
    gather(connection->input + at + 4, size);
    connection->owed++;
    at += 4 + size;
  }
  memmove(connection->input, connection->input + at, connection->length - at);
  connection->length -= at;
  return true;
}

static void acknowledge(Connection *connection) {
  static char answers[ACKNOWLEDGED_MAX * ANSWER_BYTES];
  if (answers[3] == 0) {
    unsigned size = htonl(sizeof answer - 1);
    for (int at = 0; at < ACKNOWLEDGED_MAX; at++) {
      memcpy(answers + at * ANSWER_BYTES, &size, 4);
      memcpy(answers + at * ANSWER_BYTES + 4, answer, sizeof answer - 1);
    }
  }
  while (connection->owed > 0) {
    int count = connection->owed < ACKNOWLEDGED_MAX ? connection->owed : ACKNOWLEDGED_MAX;
    // An answer that isn't taken is its client's loss; reading the connection will tell.
    if (send(connection->fd, answers, (size_t)count * ANSWER_BYTES, MSG_NOSIGNAL) < 0) {}
    connection->owed -= count;
  }
}

static void accept_(int epoll, int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), yes = 1;
  if (fd < 0) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  Connection *connection = calloc(1, sizeof *connection);
  if (connection == NULL) stop("memory");
  *connection = (Connection){.fd = fd, .input = malloc(INPUT_BYTES), .capacity = INPUT_BYTES};
  if (connection->input == NULL) stop("memory");
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int listenAnywhere(void) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 4096) < 0
      || getsockname(listener, (struct sockaddr *)&address, &length) < 0)
    stop("listen");
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return listener;
}

int main(int count, char **arguments) {
  if (count != 2) {
    fputs("floor FILE\n", stderr);
    return 2;
  }
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  file = open(arguments[1], O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0644);
  if (file < 0) stop(arguments[1]);
  int listener = listenAnywhere(), epoll = epoll_create1(0);
  struct epoll_event listening = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening);
  for (;;) {
    static struct epoll_event events[EVENTS_MAX];
    static Connection *owed[EVENTS_MAX];
    int ready = epoll_wait(epoll, events, EVENTS_MAX, -1), owedCount = 0;
    for (int at = 0; at < ready; at++) {
      Connection *connection = events[at].data.ptr;
      if (connection == NULL) accept_(epoll, listener);
      else if (!receive(connection)) closeConnection(connection);
      else if (connection->owed > 0) owed[owedCount++] = connection;
    }
    if (owedCount == 0) continue;
    writeGathered();
    // Everything of this round is on disk before any of it is acknowledged.
    if (fdatasync(file) < 0) stop("fdatasync");
    for (int at = 0; at < owedCount; at++) acknowledge(owed[at]);
  }
}
