// Agencies that wait for their winners.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "loadgen.h"

// Opens every connection, says so, asks when a line comes on stdin, and waits for everybody's
// winners.
int consult(void) {
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
    if (send(connections[number].fd, frame, 4 + (size_t)length, MSG_NOSIGNAL) < 0)
      fail("can't ask");
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
        if (memmem(input, (size_t)got, "\"type_message\":2", 16)
            || memmem(input, (size_t)got, "\"type_message\": 2", 17))
          informed++;
        else failed++;
      }
    }
  }
  tell(
    "{\"event\":\"informed\",\"informed\":%ld,\"failed\":%ld,\"bytes\":%lu,\"firstAt\":%.6f,"
    "\"lastAt\":%.6f}",
    informed, failed, bytes, firstAt, lastAt);
  return 0;
}
