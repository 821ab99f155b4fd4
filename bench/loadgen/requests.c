// The requests, as a file has them.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "loadgen.h"

static const char TOKEN[] = "%%%%%%";
enum { TOKEN_BYTES = sizeof TOKEN - 1 };

Request *requests;
int requestCount;
size_t requestBytesMax;

char *readFile(const char *path, size_t *length) {
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

Request requestOf(char *bytes, size_t length) {
  Request request = {.bytes = bytes, .length = length};
  for (char *at = bytes; (at = memmem(at, length - (size_t)(at - bytes), TOKEN, TOKEN_BYTES));
       at += TOKEN_BYTES) {
    request.tokens =
      realloc(request.tokens, (size_t)(request.tokenCount + 1) * sizeof *request.tokens);
    if (request.tokens == NULL) fail("out of memory");
    request.tokens[request.tokenCount++] = (size_t)(at - bytes);
  }
  return request;
}

void readRequests(const char *path) {
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

void putToken(char *at, int number) {
  for (int digit = TOKEN_BYTES - 1; digit >= 0; digit--, number /= 10)
    at[digit] = (char)('0' + number % 10);
}
