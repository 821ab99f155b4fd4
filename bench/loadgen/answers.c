// What servers say, in the protocol of each, and what follows from it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "loadgen.h"

static int nextMark;  // of the options' marks

static void onAnswer(Connection *connection, bool good, const char *text, size_t length) {
  if (connection->helloLeft > 0) {
    if (!good) fail("greeting refused: %.*s", (int)(length < 200 ? length : 200), text);
    connection->helloLeft--;
    return;
  }
  if (connection->inFlight == 0) return;
  if (!good) {
    if (tally.refused++ == 0)
      snprintf(tally.firstRefusal, sizeof tally.firstRefusal, "%.*s",
               (int)(length < 199 ? length : 199), text);
    // What wasn't acknowledged isn't counted; an answer of the request's remains an answer.
  }
  if (--connection->answersLeft > 0) return;
  connection->answersLeft = options.answers;
  Slot *slot = slotAt(connection, 0);
  double at = now();
  if (slot->request == NULL) {
    tally.lastFinishAnsweredAt = at;
  } else {
    bool timely = at >= tally.measureFrom && at < tally.measureTo;
    if (good) {
      tally.acknowledged += options.bets;
      tally.acknowledgedBytes +=
        slot->request->length + (slot->headLength > 4 ? slot->headLength - 4 : 0);
      tally.lastAnswerAt = at;
      if (timely) tally.acknowledgedInWindow += options.bets;
    }
    bool counts =
      options.rate > 0 ? slot->due >= tally.measureFrom && slot->due < tally.measureTo : timely;
    if (counts) recordLatency(at - slot->due);
    for (; nextMark < options.markCount && tally.acknowledged >= options.marks[nextMark];
         nextMark++)
      tell("{\"event\":\"mark\",\"bets\":%ld,\"at\":%.6f}", tally.acknowledged, at);
  }
  connection->first = (connection->first + 1) % options.window;
  connection->inFlight--;
}

// The scanners take the whole answers from the front of the bytes and give how many bytes those
// were.
typedef size_t Scanner(Connection *connection, const char *bytes, size_t length);

static size_t scanLottery(Connection *connection, const char *bytes, size_t length) {
  size_t at = 0;
  while (length - at >= 4) {
    unsigned size;
    memcpy(&size, bytes + at, 4);
    size = ntohl(size);
    if (length - at - 4 < size) break;
    const char *body = bytes + at + 4, *type = memmem(body, size, "\"type_message\":", 15);
    size_t digit = type ? (size_t)(type - body) + 15 : size;
    while (digit < size && body[digit] == ' ') digit++;
    bool good =
      digit + 1 < size && body[digit] == '1' && (body[digit + 1] < '0' || body[digit + 1] > '9');
    onAnswer(connection, good, body, size);
    at += 4 + size;
  }
  return at;
}

static size_t lineEnd(const char *bytes, size_t at, size_t length) {
  const char *feed = memchr(bytes + at, '\n', length - at);
  return feed ? (size_t)(feed - bytes) + 1 : 0;
}

// RESP: a bulk string ($) has its length on the first line; every other answer here is one line.
static size_t scanRedis(Connection *connection, const char *bytes, size_t length) {
  size_t at = 0;
  for (size_t end; at < length && (end = lineEnd(bytes, at, length)) > 0;) {
    if (bytes[at] == '$') {
      long size = atol(bytes + at + 1);
      if (size >= 0) end += (size_t)size + 2;
      if (end > length) break;
    }
    onAnswer(connection, bytes[at] != '-', bytes + at, end - at);
    at = end;
  }
  return at;
}

// PostgreSQL: a type, a length, a body. ReadyForQuery (Z) ends a request; an ErrorResponse (E)
// before it spoils it.
static size_t scanPostgres(Connection *connection, const char *bytes, size_t length) {
  size_t at = 0;
  while (length - at >= 5) {
    unsigned size;
    memcpy(&size, bytes + at + 1, 4);
    size = ntohl(size);
    if (length - at - 1 < size) break;
    if (bytes[at] == 'E') {
      if (connection->helloLeft > 0)
        fail("PostgreSQL refuses: %.*s", (int)size - 4, bytes + at + 5);
      if (tally.refused++ == 0) {
        snprintf(tally.firstRefusal, sizeof tally.firstRefusal, "PostgreSQL error");
        for (unsigned byte = 4; byte + 1 < size; byte++)  // the field M is the message
          if (bytes[at + 1 + byte] == 0 && bytes[at + 2 + byte] == 'M')
            snprintf(tally.firstRefusal, sizeof tally.firstRefusal, "%s", bytes + at + 3 + byte);
      }
    }
    if (bytes[at] == 'Z') onAnswer(connection, true, "", 0);
    at += 1 + size;
  }
  return at;
}

// NATS: lines, of which MSG is followed by its payload, the acknowledgement of a message that
// JetStream stored.
static size_t scanNats(Connection *connection, const char *bytes, size_t length) {
  size_t at = 0;
  for (size_t end; at < length && (end = lineEnd(bytes, at, length)) > 0;) {
    const char *line = bytes + at;
    if (strncmp(line, "MSG ", 4) == 0) {
      const char *space = memrchr(line, ' ', end - at);
      size_t size = (size_t)atol(space + 1);
      if (end + size + 2 > length) break;
      onAnswer(connection, memmem(bytes + end, size, "\"error\"", 7) == NULL, bytes + end, size);
      end += size + 2;
    } else if (strncmp(line, "PONG", 4) == 0) {
      onAnswer(connection, true, "", 0);
    } else if (strncmp(line, "PING", 4) == 0) {
      if (send(connection->fd, "PONG\r\n", 6, MSG_NOSIGNAL) < 0) closeConnection(connection);
    } else if (strncmp(line, "-ERR", 4) == 0) {
      onAnswer(connection, false, line, end - at);
    }
    at = end;
  }
  return at;
}

static Scanner *scanner;

void chooseScanner(void) {
  static const struct {
    const char *name;
    Scanner *scanner;
  } known[] = {
    {"lottery", scanLottery}, {"redis", scanRedis}, {"postgres", scanPostgres}, {"nats", scanNats}};
  for (size_t at = 0; at < sizeof known / sizeof *known; at++)
    if (strcmp(options.protocol, known[at].name) == 0) scanner = known[at].scanner;
  if (scanner == NULL) usage();
}

void receive(Connection *connection) {
  static char input[LEFT_MAX + INPUT_BYTES];
  size_t length = connection->leftLength;
  memcpy(input, connection->left, length);
  ssize_t got = recv(connection->fd, input + length, INPUT_BYTES, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    // After the answer to its last chunk the server closes the connection.
    if (connection->helloLeft > 0) fail("the server closed a connection that it was greeted on");
    if (connection->inFlight > 0 || !connection->finishing) tally.cut++;
    closeConnection(connection);
    return;
  }
  length += (size_t)got;
  size_t taken = scanner(connection, input, length);
  if (length - taken > LEFT_MAX) fail("an answer is longer than %d bytes", LEFT_MAX);
  connection->leftLength = length - taken;
  memcpy(connection->left, input + taken, length - taken);
}

void greet(void) {
  if (options.hello == NULL) return;
  size_t length;
  char *bytes = readFile(options.hello, &length);
  Request hello = requestOf(bytes, length);
  for (int number = 0; number < options.connections; number++) {
    connections[number].helloLeft = options.helloAnswers;
    for (int at = 0; at < hello.tokenCount; at++) putToken(bytes + hello.tokens[at], number);
    if (send(connections[number].fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
      fail("can't greet the server");
  }
  double deadline = now() + GRACE_SECONDS + options.connections * 0.1;
  for (int number = 0; number < options.connections;) {
    if (connections[number].helloLeft == 0) {
      number++;
      continue;
    }
    struct epoll_event events[256];
    int count = epoll_wait(epoll, events, 256, 1000);
    for (int at = 0; at < count; at++) receive(events[at].data.ptr);
    if (now() > deadline) fail("the server doesn't answer the greeting");
  }
}
