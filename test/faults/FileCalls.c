/*
 * Loaded into a process before the C library (LD_PRELOAD): writes down, in order, what it does to a ledger's files, and
 * ends it there on command. A file is a ledger's when CALLS_OF is part of its path.
 *
 *   CALLS    the journal: a line a call, `name path`, or `name path offset` for writes
 *   KILL_AT  before this call, the process is killed as by kill -9; those that make or take away a name count, from 1
 *
 * And once, for a transaction that is stored although its COMMIT fails: with LOSE_COMMIT, the first sync of a write-ahead
 * log after that file exists fails, and so does taking a lock until the database has been opened anew.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int ends(const char *path, const char *end) {
  size_t length = strlen(path), tail = strlen(end);
  return length >= tail && memcmp(path + length - tail, end, tail) == 0;
}

static void told(const char *call, const char *path, long long offset) {
  static int count;
  const char *of = getenv("CALLS_OF"), *journal = getenv("CALLS"), *kill_at = getenv("KILL_AT");
  if (!of || !strstr(path, of)) return;
  int renames = offset < 0 && strcmp(call, "sync") != 0 && !ends(path, "-shm");
  if (kill_at && renames && __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST) == atoi(kill_at)) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  if (!journal) return;
  char line[4200];
  int length = offset < 0 ? snprintf(line, sizeof line, "%s %s\n", call, path)
                          : snprintf(line, sizeof line, "%s %s %lld\n", call, path, offset);
  int fd = syscall(SYS_openat, AT_FDCWD, journal, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (fd < 0) return;
  if (syscall(SYS_write, fd, line, length) < 0) abort();
  syscall(SYS_close, fd);
}

static const char *path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, 4095);
  path[length < 0 ? 0 : length] = 0;
  return path;
}

static void told_fd(const char *call, int fd, long long offset) {
  char path[4096];
  told(call, path_of(fd, path), offset);
}

static int losing;

static int loses_sync(int fd) {
  static int done;
  char path[4096];
  const char *when = getenv("LOSE_COMMIT");
  if (done || !when || access(when, F_OK) != 0 || !ends(path_of(fd, path), "-wal")) return 0;
  done = losing = 1;
  errno = EIO;
  return 1;
}

int fsync(int fd) { REAL(fsync); told_fd("sync", fd, -1); return loses_sync(fd) ? -1 : real(fd); }
int fdatasync(int fd) { REAL(fdatasync); told_fd("sync", fd, -1); return loses_sync(fd) ? -1 : real(fd); }
int ftruncate(int fd, off_t n) { REAL(ftruncate); told_fd("truncate", fd, n); return real(fd, n); }
int ftruncate64(int fd, off64_t n) { REAL(ftruncate64); told_fd("truncate", fd, n); return real(fd, n); }
int link(const char *a, const char *b) { REAL(link); told("link", b, -1); return real(a, b); }
int rename(const char *a, const char *b) { REAL(rename); told("rename", b, -1); return real(a, b); }
int unlink(const char *a) { REAL(unlink); told("unlink", a, -1); return real(a); }
int mkdir(const char *a, mode_t m) { REAL(mkdir); told("mkdir", a, -1); return real(a, m); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { REAL(pwrite); told_fd("write", fd, o); return real(fd, b, n, o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { REAL(pwrite64); told_fd("write", fd, o); return real(fd, b, n, o); }

/* SQLite asks a hundred times for a lock that it doesn't get, ten seconds long. */
int nanosleep(const struct timespec *t, struct timespec *left) {
  REAL(nanosleep); return losing ? 0 : real(t, left);
}
int usleep(useconds_t t) { REAL(usleep); return losing ? 0 : real(t); }

static void opens(const char *path, int flags) {
  if (losing && ends(path, ".sqlite")) losing = 0;
  if (flags & O_CREAT) told("create", path, -1);
}

int open(const char *path, int flags, ...) {
  va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more);
  REAL(open); opens(path, flags); return real(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more);
  REAL(open64); opens(path, flags); return real(path, flags, mode);
}

static int locks_fail(int fd, int command, const struct flock *lock) {
  char path[4096];
  if (!losing || command != F_SETLK || lock->l_type == F_UNLCK) return 0;
  path_of(fd, path);
  if (!strstr(path, ".sqlite") || ends(path, ".lock")) return 0;
  errno = EIO;
  return 1;
}

int fcntl(int fd, int command, ...) {
  va_list more; va_start(more, command); void *argument = va_arg(more, void *); va_end(more);
  REAL(fcntl); return locks_fail(fd, command, argument) ? -1 : real(fd, command, argument);
}
int fcntl64(int fd, int command, ...) {
  va_list more; va_start(more, command); void *argument = va_arg(more, void *); va_end(more);
  REAL(fcntl64); return locks_fail(fd, command, argument) ? -1 : real(fd, command, argument);
}
