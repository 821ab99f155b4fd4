// Connections and what is on its way on each.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "loadgen.h"

Connection *connections;
int epoll, live;

static void watch(Connection *connection, bool forWriting) {
  if (connection->wantsWrite == forWriting) return;
  connection->wantsWrite = forWriting;
  struct epoll_event event = {.events = EPOLLIN | (forWriting ? EPOLLOUT : 0),
                              .data.ptr = connection};
  epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

void closeConnection(Connection *connection) {
  if (connection->done) return;
  connection->done = true;
  close(connection->fd);
  live--;
}

Slot *slotAt(Connection *connection, int offset) {
  return &connection->slots[(connection->first + offset) % options.window];
}

// What is next to be written, where header and body of a request are written apart.
static int nextWrite(Connection *connection, struct iovec *parts) {
  Slot *slot = slotAt(connection, connection->inFlight - connection->unwritten);
  size_t skip = connection->written, headEnd = skip < 4 ? 4 : slot->headLength;
  int count = 0;
  if (skip < headEnd) parts[count++] = (struct iovec){slot->head + skip, headEnd - skip};
  if (skip < 4 || slot->request == NULL) return count;
  size_t bodySkip = skip > slot->headLength ? skip - slot->headLength : 0;
  parts[count++] =
    (struct iovec){slot->request->bytes + bodySkip, slot->request->length - bodySkip};
  return count;
}

void flush(Connection *connection) {
  while (connection->unwritten > 0) {
    struct iovec parts[2 * WINDOW_MAX];
    int count = options.splitWrites ? nextWrite(connection, parts) : 0;
    size_t skip = connection->written, total = 0;
    for (int at = connection->inFlight - connection->unwritten;
         at < connection->inFlight && !options.splitWrites; at++) {
      Slot *slot = slotAt(connection, at);
      if (skip < slot->headLength)
        parts[count++] = (struct iovec){slot->head + skip, slot->headLength - skip};
      size_t bodySkip = skip > slot->headLength ? skip - slot->headLength : 0;
      if (slot->request != NULL) {
        char *body = slot->request->tokenCount > 0 ? slot->copy : slot->request->bytes;
        parts[count++] = (struct iovec){body + bodySkip, slot->request->length - bodySkip};
      }
      skip = 0;
    }
    for (int at = 0; at < count; at++) total += parts[at].iov_len;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
    ssize_t wrote = sendmsg(connection->fd, &message, MSG_NOSIGNAL);
    if (wrote < 0) {
      if (errno == EAGAIN) watch(connection, true);
      // A connection that is gone is noticed when it is read.
      return;
    }
    connection->written += (size_t)wrote;
    while (connection->unwritten > 0) {
      Slot *slot = slotAt(connection, connection->inFlight - connection->unwritten);
      size_t length = slot->headLength + (slot->request ? slot->request->length : 0);
      if (connection->written < length) break;
      connection->written -= length;
      connection->unwritten--;
    }
    if ((size_t)wrote < total) {
      watch(connection, true);
      return;
    }
  }
  watch(connection, false);
}

// The beginning of a chunk, as agencies in the field write it.
static void makeHead(Connection *connection, Slot *slot, int type, size_t rest) {
  int agency = options.firstAgency + connection->number;
  int length = snprintf(slot->head + 4, HEAD_MAX - 4, "{\"type_message\": %d, \"agency\": \"%d\", ",
                        type, agency);
  if (options.seq)
    length += snprintf(slot->head + 4 + length, HEAD_MAX - 4 - (size_t)length, "\"seq\": %ld, ",
                       ++connection->seq);
  if (type == 2)
    length += snprintf(slot->head + 4 + length, HEAD_MAX - 4 - (size_t)length, "\"payload\": []}");
  unsigned frame = htonl((unsigned)((size_t)length + rest));
  memcpy(slot->head, &frame, 4);
  slot->headLength = 4 + (size_t)length;
}

static Slot *take(Connection *connection, double due) {
  if (connection->inFlight == 0) connection->answersLeft = options.answers;
  Slot *slot = slotAt(connection, connection->inFlight++);
  connection->unwritten++;
  slot->due = due;
  slot->headLength = 0;
  slot->request = NULL;
  return slot;
}

static void putRequest(Connection *connection, double due) {
  Slot *slot = take(connection, due);
  long index = connection->sent++ + connection->number * 7L + options.firstRequest;
  slot->request = &requests[index % requestCount];
  tally.requests++;
  if (strcmp(options.protocol, "lottery") == 0)
    makeHead(connection, slot, 1, slot->request->length);
  if (slot->request->tokenCount == 0) return;
  memcpy(slot->copy, slot->request->bytes, slot->request->length);
  for (int at = 0; at < slot->request->tokenCount; at++)
    putToken(slot->copy + slot->request->tokens[at], connection->number);
}

static void putLastChunk(Connection *connection) {
  connection->finishing = true;
  tally.lastFinishSentAt = now();
  makeHead(connection, take(connection, tally.lastFinishSentAt), 2, 0);
}

static bool mayPut(const Connection *connection) {
  return tally.sending && (options.perConnection < 0 || connection->sent < options.perConnection);
}

void goOn(Connection *connection) {
  if (connection->done) return;
  if (options.rate == 0) {
    while (connection->inFlight < options.window && mayPut(connection))
      putRequest(connection, now());
  } else {
    for (; connection->inFlight < options.window && connection->backlog > 0;
         connection->backlog--) {
      double due =
        tally.startedAt
        + (double)(connection->sent * options.connections + connection->number) / options.rate;
      putRequest(connection, due);
    }
  }
  bool over = !mayPut(connection) && connection->backlog == 0;
  if (over && options.finish && !connection->finishing && connection->inFlight == 0)
    putLastChunk(connection);
  flush(connection);
  if (over && connection->inFlight == 0) closeConnection(connection);
}

static int openSocket(void) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((unsigned short)options.port)};
  if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1)
    fail("%s is not an address", options.host);
  int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
    fail("can't connect to %s:%d: %s", options.host, options.port, strerror(errno));
  if (!options.splitWrites) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

void openConnections(void) {
  connections = allocate((size_t)options.connections, sizeof *connections);
  bool tokens = false;
  for (int at = 0; at < requestCount; at++) tokens |= requests[at].tokenCount > 0;
  for (int number = 0; number < options.connections; number++) {
    Connection *connection = &connections[number];
    connection->number = number;
    connection->fd = openSocket();
    connection->left = allocate(LEFT_MAX, 1);
    connection->slots = allocate((size_t)options.window, sizeof *connection->slots);
    if (tokens)
      for (int at = 0; at < options.window; at++)
        connection->slots[at].copy = allocate(requestBytesMax, 1);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event);
    live++;
  }
}

// As many as the system allows: 1,000 connections are more than the usual limit.
void raiseDescriptorLimit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}
