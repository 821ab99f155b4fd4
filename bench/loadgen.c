// The load generator: sends requests that were encoded beforehand, and measures how long each takes to be answered.
// It does as little as it can per request, so that on a machine of two cores it is the server that is measured.
// loadgen.ts speaks the same command line where there is no C compiler.
//
//   loadgen load    --port P --requests FILE [options]   keeps a server busy; see `usage` for the options
//   loadgen consult --port P --connections N             opens N consult connections, asks when told to, and waits
//
// Closed loop (the default): every connection keeps `--window` requests unanswered, as an agency does.
// Open loop (`--rate R`): R requests a second fall due, evenly spaced, whatever the server does. Latency is counted
// from the moment a request was due, not from when it could be sent: a server that stalls is charged for everything
// that had to wait for it ("coordinated omission" hides that).
//
// A requests file is a row of requests, each a length (4 bytes, big-endian) and its bytes. Where they hold the token
// %%%%%% a connection puts its own six-digit number. With `--protocol lottery` they are the part of a chunk after its
// agency (and `seq`): header and beginning are made here, since every connection is an agency of its own.
//
// What happens is told on stdout, a JSON object a line; times are CLOCK_MONOTONIC in seconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW_MAX = 64, HEAD_MAX = 112, LEFT_MAX = 16384, INPUT_BYTES = 1 << 18, MARKS_MAX = 32 };
// After the last request was sent, its answer is waited for this long.
static const double GRACE_SECONDS = 20;
static const char TOKEN[] = "%%%%%%";
enum { TOKEN_BYTES = sizeof TOKEN - 1 };

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("loadgen: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(2);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void tell(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
  fflush(stdout);
}

static void *allocate(size_t count, size_t bytes) {
  void *memory = calloc(count ? count : 1, bytes);
  if (memory == NULL) fail("out of memory");
  return memory;
}

// ---- Options -----------------------------------------------------------------------------------------------------

static struct {
  const char *host, *protocol, *requests, *hello;
  int port, connections, window, firstAgency, firstRequest;
  int bets;          // in a request
  int answers;       // that a request is answered with
  int helloAnswers;  // to wait for before the first request
  bool seq;          // chunks carry `seq`, from 1
  double rate, warmup, seconds;
  long perConnection;  // requests; negative: as many as the time allows
  bool finish;         // then send an empty SEND_LAST_CHUNK
  long marks[MARKS_MAX];
  int markCount;
} options = {.host = "127.0.0.1", .protocol = "lottery", .connections = 1, .window = 1, .firstAgency = 1, .bets = 1,
             .answers = 1, .seconds = 5, .perConnection = -1};

static void usage(void) {
  fputs("loadgen load --port P --requests FILE [--host H] [--protocol lottery|redis|postgres|nats]\n"
        "  [--connections N] [--window W] [--bets BETS_PER_REQUEST] [--answers PER_REQUEST]\n"
        "  [--hello FILE --hello-answers N] [--first-agency A] [--first-request R] [--seq]\n"
        "  [--warmup S] [--seconds S] [--rate REQUESTS_PER_SECOND]\n"
        "  [--per-connection REQUESTS] [--finish] [--marks BETS,BETS,...]\n"
        "loadgen consult --port P [--host H] [--connections N] [--first-agency A]\n",
        stderr);
  exit(2);
}

static void readOptions(int count, char **arguments) {
  for (int at = 0; at < count; at++) {
    const char *name = arguments[at];
    if (strcmp(name, "--seq") == 0) { options.seq = true; continue; }
    if (strcmp(name, "--finish") == 0) { options.finish = true; continue; }
    if (at + 1 >= count) usage();
    char *value = arguments[++at];
    if (strcmp(name, "--host") == 0) options.host = value;
    else if (strcmp(name, "--port") == 0) options.port = atoi(value);
    else if (strcmp(name, "--protocol") == 0) options.protocol = value;
    else if (strcmp(name, "--requests") == 0) options.requests = value;
    else if (strcmp(name, "--hello") == 0) options.hello = value;
    else if (strcmp(name, "--hello-answers") == 0) options.helloAnswers = atoi(value);
    else if (strcmp(name, "--connections") == 0) options.connections = atoi(value);
    else if (strcmp(name, "--window") == 0) options.window = atoi(value);
    else if (strcmp(name, "--bets") == 0) options.bets = atoi(value);
    else if (strcmp(name, "--answers") == 0) options.answers = atoi(value);
    else if (strcmp(name, "--first-agency") == 0) options.firstAgency = atoi(value);
    else if (strcmp(name, "--first-request") == 0) options.firstRequest = atoi(value);
    else if (strcmp(name, "--warmup") == 0) options.warmup = atof(value);
    else if (strcmp(name, "--seconds") == 0) options.seconds = atof(value);
    else if (strcmp(name, "--rate") == 0) options.rate = atof(value);
    else if (strcmp(name, "--per-connection") == 0) options.perConnection = atol(value);
    else if (strcmp(name, "--marks") == 0) {
      for (char *mark = strtok(value, ","); mark && options.markCount < MARKS_MAX; mark = strtok(NULL, ","))
        options.marks[options.markCount++] = atol(mark);
    } else usage();
  }
  if (options.port == 0 || options.connections < 1 || options.window < 1 || options.window > WINDOW_MAX) usage();
}

// ---- Requests ----------------------------------------------------------------------------------------------------

typedef struct {
  char *bytes;
  size_t length;
  size_t *tokens;  // where they stand
  int tokenCount;
} Request;

static Request *requests;
static int requestCount;
static size_t requestBytesMax;

static char *readFile(const char *path, size_t *length) {
  int file = open(path, O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status) < 0) fail("%s: %s", path, strerror(errno));
  *length = (size_t)status.st_size;
  char *bytes = allocate(*length + 1, 1);
  for (size_t filled = 0; filled < *length;) {
    ssize_t got = read(file, bytes + filled, *length - filled);
    if (got <= 0) fail("%s: can't be read", path);
    filled += (size_t)got;
  }
  close(file);
  return bytes;
}

static Request requestOf(char *bytes, size_t length) {
  Request request = {.bytes = bytes, .length = length};
  for (char *at = bytes; (at = memmem(at, length - (size_t)(at - bytes), TOKEN, TOKEN_BYTES)); at += TOKEN_BYTES) {
    request.tokens = realloc(request.tokens, (size_t)(request.tokenCount + 1) * sizeof *request.tokens);
    if (request.tokens == NULL) fail("out of memory");
    request.tokens[request.tokenCount++] = (size_t)(at - bytes);
  }
  return request;
}

static void readRequests(const char *path) {
  size_t length;
  char *bytes = readFile(path, &length);
  for (size_t at = 0; at + 4 <= length;) {
    unsigned size;
    memcpy(&size, bytes + at, 4);
    size = ntohl(size);
    at += 4;
    if (at + size > length) fail("%s: ends inside a request", path);
    requests = realloc(requests, (size_t)(requestCount + 1) * sizeof *requests);
    if (requests == NULL) fail("out of memory");
    requests[requestCount++] = requestOf(bytes + at, size);
    if (size > requestBytesMax) requestBytesMax = size;
    at += size;
  }
  if (requestCount == 0) fail("%s: holds no request", path);
}

static void putToken(char *at, int number) {
  for (int digit = TOKEN_BYTES - 1; digit >= 0; digit--, number /= 10) at[digit] = (char)('0' + number % 10);
}

// ---- Latencies ---------------------------------------------------------------------------------------------------

// Microseconds, exact below 256, then 128 buckets for every power of two: within 0.8 % up to an hour.
enum { EXACT = 256, STEPS = 128, POWERS = 24, BUCKETS = EXACT + STEPS * POWERS };
static long histogram[BUCKETS], latencies;
static double latencyMax;

static void recordLatency(double seconds) {
  unsigned long microseconds = seconds <= 0 ? 0 : (unsigned long)(seconds * 1e6);
  int bucket = (int)microseconds;
  if (microseconds >= EXACT) {
    int power = 63 - __builtin_clzl(microseconds);  // 8 and up
    bucket = EXACT + (power - 8) * STEPS + (int)(microseconds >> (power - 7)) - STEPS;
    if (bucket >= BUCKETS) bucket = BUCKETS - 1;
  }
  histogram[bucket]++;
  latencies++;
  if (seconds > latencyMax) latencyMax = seconds;
}

// In milliseconds, the upper end of the bucket.
static double percentile(double part) {
  long wanted = (long)(part * (double)latencies + 0.5), seen = 0;
  for (int bucket = 0; bucket < BUCKETS && latencies > 0; bucket++) {
    seen += histogram[bucket];
    if (seen < wanted || seen == 0) continue;
    int power = 8 + (bucket - EXACT) / STEPS, step = (bucket - EXACT) % STEPS;
    unsigned long end = bucket < EXACT ? (unsigned long)bucket + 1 : (unsigned long)(STEPS + step + 1) << (power - 7);
    return (double)end / 1000.0 < latencyMax * 1000 ? (double)end / 1000.0 : latencyMax * 1000;
  }
  return 0;
}

// ---- Connections -------------------------------------------------------------------------------------------------

// A request on its way: due, sent, and gone when the last of its answers is here.
typedef struct {
  double due;
  char *copy;  // the request with this connection's number in it, when it has tokens
  const Request *request;
  size_t headLength;
  char head[HEAD_MAX];
} Slot;

typedef struct {
  int fd, number, answersLeft, helloLeft;
  bool wantsWrite, finishing, done;
  Slot *slots;      // a ring of `window`
  int first;        // the oldest unanswered
  int inFlight;     // slots in use
  int unwritten;    // the newest of them that aren't wholly written
  size_t written;   // of the first unwritten
  int backlog;      // open loop: due and not sent, because the window is full
  long sent;        // requests
  long seq;
  char *left;       // the beginning of an answer whose end isn't here yet
  size_t leftLength;
} Connection;

static Connection *connections;
static int epoll, live;
static double startedAt, measureFrom, measureTo, lastAnswerAt, lastFinishSentAt, lastFinishAnsweredAt;
static bool sending = true;
static long acknowledged, acknowledgedInWindow, sentRequests, refused, cut, nextMark;
static unsigned long acknowledgedBytes;
static char firstRefusal[200];

static void watch(Connection *connection, bool forWriting) {
  if (connection->wantsWrite == forWriting) return;
  connection->wantsWrite = forWriting;
  struct epoll_event event = {.events = EPOLLIN | (forWriting ? EPOLLOUT : 0), .data.ptr = connection};
  epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

static void closeConnection(Connection *connection) {
  if (connection->done) return;
  connection->done = true;
  close(connection->fd);
  live--;
}

static Slot *slotAt(Connection *connection, int offset) {
  return &connection->slots[(connection->first + offset) % options.window];
}

// Writes what isn't written of every slot, in one call if the socket takes it.
static void flush(Connection *connection) {
  while (connection->unwritten > 0) {
    struct iovec parts[2 * WINDOW_MAX];
    int count = 0;
    size_t skip = connection->written, total = 0;
    for (int at = connection->inFlight - connection->unwritten; at < connection->inFlight; at++) {
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
  int length = snprintf(slot->head + 4, HEAD_MAX - 4, "{\"type_message\": %d, \"agency\": \"%d\", ", type, agency);
  if (options.seq)
    length += snprintf(slot->head + 4 + length, HEAD_MAX - 4 - (size_t)length, "\"seq\": %ld, ", ++connection->seq);
  if (type == 2) length += snprintf(slot->head + 4 + length, HEAD_MAX - 4 - (size_t)length, "\"payload\": []}");
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

static bool isLottery(void) { return options.protocol[0] == 'l'; }

static void putRequest(Connection *connection, double due) {
  Slot *slot = take(connection, due);
  long index = connection->sent++ + connection->number * 7L + options.firstRequest;
  slot->request = &requests[index % requestCount];
  sentRequests++;
  if (isLottery()) makeHead(connection, slot, 1, slot->request->length);
  if (slot->request->tokenCount == 0) return;
  memcpy(slot->copy, slot->request->bytes, slot->request->length);
  for (int at = 0; at < slot->request->tokenCount; at++)
    putToken(slot->copy + slot->request->tokens[at], connection->number);
}

static void putLastChunk(Connection *connection) {
  connection->finishing = true;
  lastFinishSentAt = now();
  makeHead(connection, take(connection, lastFinishSentAt), 2, 0);
}

static bool mayPut(const Connection *connection) {
  return sending && (options.perConnection < 0 || connection->sent < options.perConnection);
}

// Sends what the connection may send at this moment; closes it when it has nothing more to send or to wait for.
static void goOn(Connection *connection) {
  if (connection->done) return;
  if (options.rate == 0) {
    while (connection->inFlight < options.window && mayPut(connection)) putRequest(connection, now());
  } else {
    for (; connection->inFlight < options.window && connection->backlog > 0; connection->backlog--) {
      double due = startedAt + (double)(connection->sent * options.connections + connection->number) / options.rate;
      putRequest(connection, due);
    }
  }
  bool over = !mayPut(connection) && connection->backlog == 0;
  if (over && options.finish && !connection->finishing && connection->inFlight == 0) putLastChunk(connection);
  flush(connection);
  if (over && connection->inFlight == 0) closeConnection(connection);
}

// ---- Answers -----------------------------------------------------------------------------------------------------

static void onAnswer(Connection *connection, bool good, const char *text, size_t length) {
  if (connection->helloLeft > 0) {
    if (!good) fail("greeting refused: %.*s", (int)(length < 200 ? length : 200), text);
    connection->helloLeft--;
    return;
  }
  if (connection->inFlight == 0) return;
  if (!good) {
    if (refused++ == 0) snprintf(firstRefusal, sizeof firstRefusal, "%.*s", (int)(length < 199 ? length : 199), text);
    // What wasn't acknowledged isn't counted; an answer of the request's remains an answer.
  }
  if (--connection->answersLeft > 0) return;
  connection->answersLeft = options.answers;
  Slot *slot = slotAt(connection, 0);
  double at = now();
  if (slot->request == NULL) {
    lastFinishAnsweredAt = at;
  } else {
    bool timely = at >= measureFrom && at < measureTo;
    if (good) {
      acknowledged += options.bets;
      acknowledgedBytes += slot->request->length + (slot->headLength > 4 ? slot->headLength - 4 : 0);
      lastAnswerAt = at;
      if (timely) acknowledgedInWindow += options.bets;
    }
    bool counts = options.rate > 0 ? slot->due >= measureFrom && slot->due < measureTo : timely;
    if (counts) recordLatency(at - slot->due);
    for (; nextMark < options.markCount && acknowledged >= options.marks[nextMark]; nextMark++)
      tell("{\"event\":\"mark\",\"bets\":%ld,\"at\":%.6f}", acknowledged, at);
  }
  connection->first = (connection->first + 1) % options.window;
  connection->inFlight--;
}

// The scanners take the whole answers from the front of the bytes and give how many bytes those were.
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
    bool good = digit + 1 < size && body[digit] == '1' && (body[digit + 1] < '0' || body[digit + 1] > '9');
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

// PostgreSQL: a type, a length, a body. ReadyForQuery (Z) ends a request; an ErrorResponse (E) before it spoils it.
static size_t scanPostgres(Connection *connection, const char *bytes, size_t length) {
  size_t at = 0;
  while (length - at >= 5) {
    unsigned size;
    memcpy(&size, bytes + at + 1, 4);
    size = ntohl(size);
    if (length - at - 1 < size) break;
    if (bytes[at] == 'E') {
      if (connection->helloLeft > 0) fail("PostgreSQL refuses: %.*s", (int)size - 4, bytes + at + 5);
      if (refused++ == 0) {
        snprintf(firstRefusal, sizeof firstRefusal, "PostgreSQL error");
        for (unsigned byte = 4; byte + 1 < size; byte++)  // the field M is the message
          if (bytes[at + 1 + byte] == 0 && bytes[at + 2 + byte] == 'M')
            snprintf(firstRefusal, sizeof firstRefusal, "%s", bytes + at + 3 + byte);
      }
    }
    if (bytes[at] == 'Z') onAnswer(connection, true, "", 0);
    at += 1 + size;
  }
  return at;
}

// NATS: lines, of which MSG is followed by its payload, the acknowledgement of a message that JetStream stored.
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

static void receive(Connection *connection) {
  static char input[LEFT_MAX + INPUT_BYTES];
  size_t length = connection->leftLength;
  memcpy(input, connection->left, length);
  ssize_t got = recv(connection->fd, input + length, INPUT_BYTES, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    // After the answer to its last chunk the server closes the connection.
    if (connection->helloLeft > 0) fail("the server closed a connection that it was greeted on");
    if (connection->inFlight > 0 || !connection->finishing) cut++;
    closeConnection(connection);
    return;
  }
  length += (size_t)got;
  size_t taken = scanner(connection, input, length);
  if (length - taken > LEFT_MAX) fail("an answer is longer than %d bytes", LEFT_MAX);
  connection->leftLength = length - taken;
  memcpy(connection->left, input + taken, length - taken);
}

// ---- Opening -----------------------------------------------------------------------------------------------------

static int openSocket(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)options.port)};
  if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1) fail("%s is not an address", options.host);
  int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
    fail("can't connect to %s:%d: %s", options.host, options.port, strerror(errno));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

static void openConnections(void) {
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
      for (int at = 0; at < options.window; at++) connection->slots[at].copy = allocate(requestBytesMax, 1);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event);
    live++;
  }
}

// Says what has to be said before the first request, and waits until every connection has its answers.
static void greet(void) {
  if (options.hello == NULL) return;
  size_t length;
  char *bytes = readFile(options.hello, &length);
  Request hello = requestOf(bytes, length);
  for (int number = 0; number < options.connections; number++) {
    connections[number].helloLeft = options.helloAnswers;
    for (int at = 0; at < hello.tokenCount; at++) putToken(bytes + hello.tokens[at], number);
    if (send(connections[number].fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length) fail("can't greet the server");
  }
  double deadline = now() + GRACE_SECONDS + options.connections * 0.1;
  for (int number = 0; number < options.connections;) {
    if (connections[number].helloLeft == 0) { number++; continue; }
    struct epoll_event events[256];
    int count = epoll_wait(epoll, events, 256, 1000);
    for (int at = 0; at < count; at++) receive(events[at].data.ptr);
    if (now() > deadline) fail("the server doesn't answer the greeting");
  }
}

// As many descriptors as the system allows: 1,000 connections are more than the usual limit.
static void raiseDescriptorLimit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// ---- load --------------------------------------------------------------------------------------------------------

static long due;  // open loop: requests that have fallen due so far

// Hands what has fallen due to its connections, in turn, and arms the timer for the next.
static void handOut(int timer, double at) {
  while (sending && startedAt + (double)due / options.rate <= at) {
    Connection *connection = &connections[due++ % options.connections];
    if (connection->done) continue;
    connection->backlog++;
    if (connection->inFlight < options.window) goOn(connection);
  }
  double next = startedAt + (double)due / options.rate;
  struct itimerspec time = {.it_value = {(time_t)next, (long)((next - (double)(time_t)next) * 1e9)}};
  timerfd_settime(timer, TFD_TIMER_ABSTIME, &time, NULL);
}

static void runLoop(int timer) {
  bool began = false, ended = false;
  double deadline = measureTo + GRACE_SECONDS;
  while (live > 0) {
    struct epoll_event events[512];
    int count = epoll_wait(epoll, events, 512, 20);
    double at = now();
    if (!began && at >= measureFrom) {
      began = true;
      tell("{\"event\":\"begin\",\"at\":%.6f}", at);
    }
    if (!ended && at >= measureTo) {
      ended = true;
      tell("{\"event\":\"end\",\"at\":%.6f}", at);
    }
    if (sending && at >= measureTo) {
      sending = false;
      for (int number = 0; number < options.connections; number++) goOn(&connections[number]);
    }
    if (at > deadline) break;
    for (int index = 0; index < count; index++) {
      Connection *connection = events[index].data.ptr;
      if (connection == NULL) {
        unsigned long expirations;
        if (read(timer, &expirations, sizeof expirations) < 0) continue;
      } else if (!connection->done) {
        if (events[index].events & EPOLLOUT) flush(connection);
        if (events[index].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(connection);
        goOn(connection);
      }
    }
    if (options.rate > 0) handOut(timer, at);
  }
}

static int load(void) {
  if (options.requests == NULL) usage();
  readRequests(options.requests);
  switch (options.protocol[0]) {
    case 'l': scanner = scanLottery; break;
    case 'r': scanner = scanRedis; break;
    case 'p': scanner = scanPostgres; break;
    case 'n': scanner = scanNats; break;
    default: usage();
  }
  epoll = epoll_create1(0);
  openConnections();
  greet();
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
  startedAt = now();
  measureFrom = startedAt + options.warmup;
  measureTo = measureFrom + options.seconds;
  tell("{\"event\":\"start\",\"at\":%.6f}", startedAt);
  if (options.rate == 0)
    for (int number = 0; number < options.connections; number++) goOn(&connections[number]);
  else
    handOut(timer, startedAt);
  runLoop(timer);

  long unanswered = 0;
  for (int number = 0; number < options.connections; number++)
    unanswered += connections[number].inFlight + connections[number].backlog;
  // A run of so many requests ends when they are answered; any other lasts its time, also where nothing is answered.
  double until = options.perConnection >= 0 && lastAnswerAt < measureTo ? lastAnswerAt : measureTo;
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  for (char *at = firstRefusal; *at; at++)
    if (*at == '"' || *at == '\\' || (unsigned char)*at < ' ') *at = '\'';
  tell("{\"event\":\"result\",\"acknowledged\":%ld,\"acknowledgedBytes\":%lu,\"requests\":%ld,\"measured\":%ld,"
       "\"seconds\":%.6f,\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f,\"refused\":%ld,\"firstRefusal\":\"%s\","
       "\"cut\":%ld,\"unanswered\":%ld,\"startedAt\":%.6f,\"lastAnswerAt\":%.6f,\"lastFinishSentAt\":%.6f,"
       "\"lastFinishAnsweredAt\":%.6f,\"cpu\":%.3f}",
       acknowledged, acknowledgedBytes, sentRequests, acknowledgedInWindow, until - measureFrom, percentile(0.5),
       percentile(0.99), percentile(0.999), latencyMax * 1000, refused, firstRefusal, cut, unanswered, startedAt,
       lastAnswerAt, lastFinishSentAt, lastFinishAnsweredAt,
       (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec)
         + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
  return 0;
}

// ---- consult -----------------------------------------------------------------------------------------------------

// Opens every connection, says so, asks when a line comes on stdin, and waits for everybody's winners.
static int consult(void) {
  options.seconds = 0;
  epoll = epoll_create1(0);
  openConnections();
  tell("{\"event\":\"open\",\"at\":%.6f}", now());
  char line[16];
  if (fgets(line, sizeof line, stdin) == NULL) return 0;
  for (int number = 0; number < options.connections; number++) {
    char frame[96];
    int length = snprintf(frame + 4, sizeof frame - 4,
                          "{\"type_message\": 3, \"agency\": \"%d\", \"payload\": null}",
                          options.firstAgency + number);
    unsigned size = htonl((unsigned)length);
    memcpy(frame, &size, 4);
    if (send(connections[number].fd, frame, 4 + (size_t)length, MSG_NOSIGNAL) < 0) fail("can't ask");
  }
  tell("{\"event\":\"asked\",\"at\":%.6f}", now());
  long informed = 0, failed = 0;
  unsigned long bytes = 0;
  double firstAt = 0, lastAt = 0;
  static char input[INPUT_BYTES];
  while (live > 0) {
    struct epoll_event events[512];
    int count = epoll_wait(epoll, events, 512, -1);
    for (int index = 0; index < count; index++) {
      Connection *connection = events[index].data.ptr;
      ssize_t got = recv(connection->fd, input, sizeof input, 0);
      if (got < 0 && errno == EAGAIN) continue;
      if (got <= 0) {
        if (!connection->finishing) failed++;
        closeConnection(connection);
        continue;
      }
      // The answer's first bytes tell that it has begun to come; the close tells that it is whole.
      bytes += (unsigned long)got;
      lastAt = now();
      if (informed == 0) firstAt = lastAt;
      if (!connection->finishing) {
        connection->finishing = true;
        if (memmem(input, (size_t)got, "\"type_message\":2", 16) || memmem(input, (size_t)got, "\"type_message\": 2", 17))
          informed++;
        else failed++;
      }
    }
  }
  tell("{\"event\":\"informed\",\"informed\":%ld,\"failed\":%ld,\"bytes\":%lu,\"firstAt\":%.6f,\"lastAt\":%.6f}", informed,
       failed, bytes, firstAt, lastAt);
  return 0;
}

int main(int count, char **arguments) {
  if (count < 2) usage();
  readOptions(count - 2, arguments + 2);
  raiseDescriptorLimit();
  if (strcmp(arguments[1], "load") == 0) return load();
  if (strcmp(arguments[1], "consult") == 0) return consult();
  usage();
  return 2;
}
