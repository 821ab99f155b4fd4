// Keeps a server under load, in a closed or an open loop, and says what came of it.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "loadgen.h"

Tally tally = {.sending = true};

static long due;  // open loop: requests that have fallen due so far

// Hands what has fallen due to its connections, in turn, and arms the timer for the next.
static void handOut(int timer, double at) {
  while (tally.sending && tally.startedAt + (double)due / options.rate <= at) {
    Connection *connection = &connections[due++ % options.connections];
    if (connection->done) continue;
    connection->backlog++;
    if (connection->inFlight < options.window) goOn(connection);
  }
  double next = tally.startedAt + (double)due / options.rate;
  struct itimerspec time = {
    .it_value = {(time_t)next, (long)((next - (double)(time_t)next) * 1e9)}};
  timerfd_settime(timer, TFD_TIMER_ABSTIME, &time, NULL);
}

static void runLoop(int timer) {
  bool began = false, ended = false;
  double deadline = tally.measureTo + GRACE_SECONDS;
  while (live > 0) {
    struct epoll_event events[512];
    int count = epoll_wait(epoll, events, 512, 20);
    double at = now();
    if (!began && at >= tally.measureFrom) {
      began = true;
      tell("{\"event\":\"begin\",\"at\":%.6f}", at);
    }
    if (!ended && at >= tally.measureTo) {
      ended = true;
      tell("{\"event\":\"end\",\"at\":%.6f}", at);
    }
    if (tally.sending && at >= tally.measureTo) {
      tally.sending = false;
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

static void report(void) {
  long unanswered = 0;
  for (int number = 0; number < options.connections; number++)
    unanswered += connections[number].inFlight + connections[number].backlog;
  // A run of so many requests ends when they are answered; any other lasts its time, also where
  // nothing is answered.
  double until = options.perConnection >= 0 && tally.lastAnswerAt < tally.measureTo
                   ? tally.lastAnswerAt
                   : tally.measureTo;
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  for (char *at = tally.firstRefusal; *at; at++)
    if (*at == '"' || *at == '\\' || (unsigned char)*at < ' ') *at = '\'';
  tell(
    "{\"event\":\"result\",\"acknowledged\":%ld,\"acknowledgedBytes\":%lu,\"requests\":%ld,"
    "\"measured\":%ld,\"seconds\":%.6f,\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f,"
    "\"refused\":%ld,\"firstRefusal\":\"%s\",\"cut\":%ld,\"unanswered\":%ld,"
    "\"startedAt\":%.6f,\"lastAnswerAt\":%.6f,"
    "\"lastFinishSentAt\":%.6f,\"lastFinishAnsweredAt\":%.6f,\"cpu\":%.3f}",
    tally.acknowledged, tally.acknowledgedBytes, tally.requests, tally.acknowledgedInWindow,
    until - tally.measureFrom, percentile(0.5), percentile(0.99), percentile(0.999), percentile(1),
    tally.refused, tally.firstRefusal, tally.cut, unanswered, tally.startedAt, tally.lastAnswerAt,
    tally.lastFinishSentAt, tally.lastFinishAnsweredAt,
    (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec)
      + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

int load(void) {
  if (options.requests == NULL) usage();
  readRequests(options.requests);
  chooseScanner();
  epoll = epoll_create1(0);
  openConnections();
  greet();
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
  tally.startedAt = now();
  tally.measureFrom = tally.startedAt + options.warmup;
  tally.measureTo = tally.measureFrom + options.seconds;
  tell("{\"event\":\"start\",\"at\":%.6f}", tally.startedAt);
  if (options.rate == 0)
    for (int number = 0; number < options.connections; number++) goOn(&connections[number]);
  else handOut(timer, tally.startedAt);
  runLoop(timer);
  report();
  return 0;
}
