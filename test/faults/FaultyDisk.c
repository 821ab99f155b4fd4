/*
 * Loaded into the server before the C library (LD_PRELOAD): makes its disk fail and its wall clock jump, on command. The
 * commands are integers in a file that test and server both have mapped; its path is in FAULTS.
 *
 *   0  syncs of files whose name ends in "-wal" fail with EIO
 *   1  writes to such files fail with EIO
 *   2  seconds that the wall clock is off
 *   3  how many calls were made to fail
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int32_t none[4];
static volatile int32_t *commands = none;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAULTS");
  int fd = path ? open(path, O_RDWR) : -1;
  if (fd < 0) return;
  void *mapped = mmap(0, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped != MAP_FAILED) commands = mapped;
  close(fd);
}

static int fails(int command, int fd) {
  char link[64], name[4096];
  if (!commands[command]) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, name, sizeof name - 1);
  if (length < 4 || memcmp(name + length - 4, "-wal", 4) != 0) return 0;
  commands[3]++;
  errno = EIO;
  return 1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int fsync(int fd) { REAL(fsync); return fails(0, fd) ? -1 : real(fd); }
int fdatasync(int fd) { REAL(fdatasync); return fails(0, fd) ? -1 : real(fd); }
ssize_t write(int fd, const void *b, size_t n) { REAL(write); return fails(1, fd) ? -1 : real(fd, b, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { REAL(pwrite); return fails(1, fd) ? -1 : real(fd, b, n, o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { REAL(pwrite64); return fails(1, fd) ? -1 : real(fd, b, n, o); }

int clock_gettime(clockid_t clock, struct timespec *now) {
  REAL(clock_gettime);
  int result = real(clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += commands[2];
  return result;
}
int gettimeofday(struct timeval *now, void *zone) {
  REAL(gettimeofday);
  int result = real(now, zone);
  if (result == 0 && now) now->tv_sec += commands[2];
  return result;
}
time_t time(time_t *into) {
  REAL(time);
  time_t now = real(0) + commands[2];
  if (into) *into = now;
  return now;
}
