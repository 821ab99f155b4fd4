// Latencies are counted in buckets: a run has millions of them.
#include "loadgen.h"

// Microseconds, exact below 256, then 128 buckets for every power of two: within 0.8 % up to an
// hour.
enum { EXACT = 256, STEPS = 128, POWERS = 24, BUCKETS = EXACT + STEPS * POWERS };
static long histogram[BUCKETS], latencies;
static double latencyMax;

void recordLatency(double seconds) {
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
double percentile(double part) {
  long wanted = (long)(part * (double)latencies + 0.5), seen = 0;
  for (int bucket = 0; bucket < BUCKETS && latencies > 0; bucket++) {
    seen += histogram[bucket];
    if (seen < wanted || seen == 0) continue;
    if (seen == latencies) break;
    int power = 8 + (bucket - EXACT) / STEPS, step = (bucket - EXACT) % STEPS;
    unsigned long end =
      bucket < EXACT ? (unsigned long)bucket + 1 : (unsigned long)(STEPS + step + 1) << (power - 7);
    return (double)end / 1000.0;
  }
  return latencyMax * 1000;
}
