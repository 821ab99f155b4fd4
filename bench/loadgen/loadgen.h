// What the parts of the load generator know of each other; loadgen.c says what it does.
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { WINDOW_MAX = 64, HEAD_MAX = 112, LEFT_MAX = 16384, INPUT_BYTES = 1 << 18, MARKS_MAX = 32 };
// After the last request was sent, its answer is waited for this long.
static const double GRACE_SECONDS = 20;

// ---- options.c -------------------------------------------------------------------------------

typedef struct {
  const char *host, *protocol, *requests, *hello;
  int port, connections, window, firstAgency, firstRequest;
  int bets;          // in a request
  int answers;       // that a request is answered with
  int helloAnswers;  // to wait for before the first request
  bool seq;          // chunks carry `seq`, from 1
  double rate, warmup, seconds;
  long perConnection;  // requests; negative: as many as the time allows
  bool splitWrites;    // as clients of the field: header and body apart, Nagle's algorithm on
  bool finish;         // then send an empty SEND_LAST_CHUNK
  long marks[MARKS_MAX];
  int markCount;
} Options;
extern Options options;

_Noreturn void usage(void);
void readOptions(int count, char **arguments);

_Noreturn void fail(const char *format, ...);
// One line on stdout, at once.
void tell(const char *format, ...);
// CLOCK_MONOTONIC, in seconds.
double now(void);
void *allocate(size_t count, size_t bytes);

// ---- requests.c ------------------------------------------------------------------------------

typedef struct {
  char *bytes;
  size_t length;
  size_t *tokens;  // where they stand
  int tokenCount;
} Request;
extern Request *requests;
extern int requestCount;
extern size_t requestBytesMax;

char *readFile(const char *path, size_t *length);
Request requestOf(char *bytes, size_t length);
void readRequests(const char *path);
// Puts the number where a token stands.
void putToken(char *at, int number);

// ---- latencies.c -----------------------------------------------------------------------------

void recordLatency(double seconds);
// Of all that were recorded, in milliseconds; 1 is the longest.
double percentile(double part);

// ---- connections.c ---------------------------------------------------------------------------

// A request on its way: due, sent, and gone when the last of its answers is here.
typedef struct {
  double due;
  char *copy;              // the request with this connection's number in it, when it has tokens
  const Request *request;  // NULL: a last chunk, which is all head
  size_t headLength;
  char head[HEAD_MAX];
} Slot;

typedef struct {
  int fd, number, answersLeft, helloLeft;
  bool wantsWrite, finishing, done;
  Slot *slots;     // a ring of `window`
  int first;       // the oldest unanswered
  int inFlight;    // slots in use
  int unwritten;   // the newest of them that aren't wholly written
  size_t written;  // of the first unwritten
  int backlog;     // open loop: due and not sent, because the window is full
  long sent;       // requests
  long seq;
  char *left;  // the beginning of an answer whose end isn't here yet
  size_t leftLength;
} Connection;
extern Connection *connections;
extern int epoll, live;

void raiseDescriptorLimit(void);
void openConnections(void);
void closeConnection(Connection *connection);
// Writes what isn't written of every slot, in one call if the socket takes it.
void flush(Connection *connection);
// Sends what may be sent at this moment; closes when there is nothing more to send or to wait for.
void goOn(Connection *connection);
Slot *slotAt(Connection *connection, int offset);

// ---- answers.c -------------------------------------------------------------------------------

void chooseScanner(void);
void receive(Connection *connection);
// Says what has to be said before the first request, and waits until all have their answers.
void greet(void);

// ---- load.c, consult.c -----------------------------------------------------------------------

// What has come of it so far. Bets, unless it says otherwise.
typedef struct {
  double startedAt, measureFrom, measureTo;
  double lastAnswerAt, lastFinishSentAt, lastFinishAnsweredAt;
  bool sending;
  long acknowledged, acknowledgedInWindow;
  unsigned long acknowledgedBytes;
  long requests, refused;  // requests
  long cut;                // connections
  char firstRefusal[200];
} Tally;
extern Tally tally;

int load(void);
int consult(void);
