// The load generator: sends requests that were encoded beforehand, and measures how long each takes
// to be answered. It does as little as it can per request, so that on a machine of two cores it is
// the server that is measured. Where there is no compiler ../loadgen.ts takes its place, with the
// same command line.
//
//   loadgen load --port P --requests FILE    keeps a server busy; `usage` has the options
//   loadgen consult --port P                 opens consult connections, and asks when told to
//
// Closed loop (the default): every connection keeps `--window` requests unanswered, as agencies do.
// Open loop (`--rate R`): R requests a second fall due, evenly spaced, whatever the server does.
// Latency is counted from the moment a request was due, not from when it could be sent: a server
// that stalls is charged for everything that had to wait for it. (Leaving that out is "coordinated
// omission".)
//
// A requests file is a row of requests, each a length (4 bytes, big-endian) and its bytes. For the
// token %%%%%% in them a connection puts its own number, in six digits. With `--protocol lottery`
// they are what follows the agency (and `seq`) in a chunk: frame header and beginning are made
// here, since every connection is an agency of its own.
//
// What happens is told on stdout, a JSON object a line; times are CLOCK_MONOTONIC in seconds.
#define _GNU_SOURCE
#include <string.h>
#include "loadgen.h"

int main(int count, char **arguments) {
  if (count < 2) usage();
  readOptions(count - 2, arguments + 2);
  raiseDescriptorLimit();
  if (strcmp(arguments[1], "load") == 0) return load();
  if (strcmp(arguments[1], "consult") == 0) return consult();
  usage();
  return 2;
}
