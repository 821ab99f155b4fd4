// The command line, and what every part uses: time, memory, telling and failing.
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "loadgen.h"

_Noreturn void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("loadgen: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(2);
}

double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void tell(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
  fflush(stdout);
}

void *allocate(size_t count, size_t bytes) {
  void *memory = calloc(count ? count : 1, bytes);
  if (memory == NULL) fail("out of memory");
  return memory;
}

Options options = {.host = "127.0.0.1",
                   .protocol = "lottery",
                   .connections = 1,
                   .window = 1,
                   .firstAgency = 1,
                   .bets = 1,
                   .answers = 1,
                   .seconds = 5,
                   .perConnection = -1};

_Noreturn void usage(void) {
  fputs(
    "loadgen load --port P --requests FILE [--host H] [--protocol lottery|redis|postgres|nats]\n"
    "  [--connections N] [--window W] [--bets BETS_PER_REQUEST] [--answers PER_REQUEST]\n"
    "  [--hello FILE --hello-answers N] [--first-agency A] [--first-request R] [--seq]\n"
    "  [--warmup S] [--seconds S] [--rate REQUESTS_PER_SECOND]\n"
    "  [--per-connection REQUESTS] [--finish] [--marks BETS,BETS,...] [--split-writes]\n"
    "loadgen consult --port P [--host H] [--connections N] [--first-agency A]\n",
    stderr);
  exit(2);
}

void readOptions(int count, char **arguments) {
  for (int at = 0; at < count; at++) {
    const char *name = arguments[at];
    if (strcmp(name, "--seq") == 0) {
      options.seq = true;
      continue;
    }
    if (strcmp(name, "--split-writes") == 0) {
      options.splitWrites = true;
      continue;
    }
    if (strcmp(name, "--finish") == 0) {
      options.finish = true;
      continue;
    }
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
      for (char *mark = strtok(value, ","); mark && options.markCount < MARKS_MAX;
           mark = strtok(NULL, ","))
        options.marks[options.markCount++] = atol(mark);
    } else usage();
  }
  if (options.port == 0 || options.connections < 1 || options.window < 1
      || options.window > WINDOW_MAX)
    usage();
  if (options.splitWrites && strcmp(options.protocol, "lottery") != 0)
    fail("--split-writes is for the lottery's frames");
}
