/*
 * Drives one XMPP server with many client connections, and prints what it cost as one line of JSON.
 *
 * One thread, epoll, no tree of elements: a stanza is found by counting tags, so that the generator costs a fraction of
 * what any server does. Whoever is measured runs elsewhere; its CPU time is read from a file (--cpu, a cgroup's counter)
 * at the first and the last moment of the measured time. Every message carries its number and the time it was sent at:
 * one that is lost, doubled or out of order is counted, and the line says so.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_BYTES = 32 * 1024, OUT_BYTES = 64 * 1024, MAX_LINE = 4096, BUCKETS = 4096 };

typedef enum { CHAT, LOGIN, IDLE, PRESENCE } Scenario;
typedef enum { CONNECTING, SECURING, OPENING, PROCEED, AUTHENTICATING, REOPENING, BINDING, ENABLING, SETTLING, READY, LEAVING, GONE } State;

static struct {
  Scenario scenario;
  const char *host, *domain, *password, *cpu_file, *memory_file;
  int port, pairs, window, count, parallel, body, group, acks;
  double warm, seconds, settle;
  bool tls, scram, sm;
} opt = {
  .host = "127.0.0.1", .domain = "localhost", .password = "benchmark-password", .port = 5222, .pairs = 50, .window = 1,
  .count = 300, .parallel = 16, .body = 100, .group = 25, .acks = 5, .warm = 1, .seconds = 3, .settle = 3,
};

typedef struct {
  int fd, index;
  State state;
  SSL *ssl;
  bool secure, dirty, blocked, authenticated;
  char *in;
  int in_length, in_scanned, depth;
  char *out;
  int out_length;
  /* chat */
  uint32_t next_seq, expected_seq, flying, handled, since_ack;
  /* presence: copies of the presence under way that are still to come */
  uint32_t copies;
  /* login */
  uint64_t began;
  char client_first[128];
  char nonce[64];
  char account[32];
} Connection;

static SSL_CTX *tls;
static int epoll;
static Connection *connections;
static int total, started, ready, gone;
static Connection **dirty;
static int dirty_count;
static char filler[65536];
static uint32_t run_id;

static uint64_t turned_at, heard_at;
static bool measuring, stopping;
static uint64_t sent, received, disordered, errors, acks_heard, measured, logins;
static uint64_t histogram[BUCKETS];

/* The measured time in slices: the median of what they cost is hardly moved by whatever else the machine does in one of them. */
enum { SLICES = 8 };
static double slice_cost[SLICES];
static int slices;
static double slice_cpu;
static uint64_t slice_count;

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  exit(1);
}

/* Latencies: 64 buckets to each doubling of microseconds, so that a percentile is right within two per cent. */
static int bucket_of(uint64_t ns) {
  uint64_t us = ns / 1000 + 64;
  int exponent = 63 - __builtin_clzll(us);
  int bucket = (exponent - 6) * 64 + (int)((us >> (exponent - 6)) & 63);
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}
static double bucket_us(int bucket) {
  int exponent = bucket / 64 + 6;
  return (double)((uint64_t)(64 + bucket % 64) << (exponent - 6)) - 64;
}
static double percentile(double share) {
  uint64_t all = 0, seen = 0;
  for (int i = 0; i < BUCKETS; i++) all += histogram[i];
  for (int i = 0; i < BUCKETS; i++) {
    seen += histogram[i];
    if (all > 0 && (double)seen >= share * (double)all) return bucket_us(i);
  }
  return 0;
}

/* CPU time of whoever is measured, microseconds: cpu.stat of cgroup v2, or cpuacct.usage of v1 (nanoseconds). */
static double cpu_us(void) {
  if (opt.cpu_file == NULL) return 0;
  FILE *file = fopen(opt.cpu_file, "r");
  if (file == NULL) die("cannot read %s", opt.cpu_file);
  char line[256];
  double value = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, "usage_usec ", 11) == 0) value = atof(line + 11);
    else if (line[0] >= '0' && line[0] <= '9') value = atof(line) / 1000;
  }
  fclose(file);
  return value;
}
/* What it keeps in memory of its own, bytes: `anon` of v2's memory.stat, `total_rss` of v1's. */
static double memory_bytes(void) {
  if (opt.memory_file == NULL) return 0;
  FILE *file = fopen(opt.memory_file, "r");
  if (file == NULL) die("cannot read %s", opt.memory_file);
  char line[256];
  double value = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, "anon ", 5) == 0) value = atof(line + 5);
    else if (strncmp(line, "total_rss ", 10) == 0) value = atof(line + 10);
  }
  fclose(file);
  return value;
}

static void begin_slices(double cpu) {
  slice_cpu = cpu;
  slice_count = measured;
}
static void end_slice(void) {
  double cpu = cpu_us();
  if (slices < SLICES && measured > slice_count) slice_cost[slices++] = (cpu - slice_cpu) / (double)(measured - slice_count);
  begin_slices(cpu);
}
static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}
static double median_slice(void) {
  qsort(slice_cost, (size_t)slices, sizeof slice_cost[0], by_value);
  return slices == 0 ? 0 : (slice_cost[slices / 2] + slice_cost[(slices - 1) / 2]) / 2;
}

/* Writing: all that one turn of the loop has for a connection leaves together. */

static void mark(Connection *c) {
  if (!c->dirty) {
    c->dirty = true;
    dirty[dirty_count++] = c;
  }
}

static void put(Connection *c, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int room = OUT_BYTES - c->out_length;
  int length = vsnprintf(c->out + c->out_length, (size_t)room, format, args);
  va_end(args);
  if (length >= room) die("connection %d: the server does not read what it is sent", c->index);
  c->out_length += length;
  mark(c);
}

static void want_write(Connection *c, bool wanted) {
  if (c->blocked == wanted) return;
  c->blocked = wanted;
  struct epoll_event event = { .events = EPOLLIN | (wanted ? EPOLLOUT : 0u), .data.ptr = c };
  epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static void lost(Connection *c, const char *why) {
  if (c->state == GONE) return;
  if (c->state != LEAVING) die("connection %d (%s) ended in state %d: %s: %.*s", c->index, c->account, c->state, why, c->in_length, c->in);
  if (c->ssl != NULL) SSL_free(c->ssl);
  close(c->fd);
  c->ssl = NULL;
  c->state = GONE;
  gone++;
}

static void flush(Connection *c) {
  c->dirty = false;
  if (c->state == GONE || c->state == CONNECTING || c->state == SECURING) return;
  while (c->out_length > 0) {
    int written = c->secure ? SSL_write(c->ssl, c->out, c->out_length) : (int)send(c->fd, c->out, (size_t)c->out_length, MSG_NOSIGNAL);
    if (written <= 0) {
      if (c->secure ? SSL_get_error(c->ssl, written) == SSL_ERROR_WANT_WRITE : errno == EAGAIN) {
        want_write(c, true);
        return;
      }
      lost(c, "cannot write");
      return;
    }
    c->out_length -= written;
    memmove(c->out, c->out + written, (size_t)c->out_length);
  }
  want_write(c, false);
}

static void flush_all(void) {
  for (int i = 0; i < dirty_count; i++) flush(dirty[i]);
  dirty_count = 0;
}

/* Logging in */

static void header(Connection *c) {
  c->depth = 0;
  put(c, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='%s' version='1.0'>", opt.domain);
}

static void base64(char *out, const void *data, int length) { EVP_EncodeBlock((unsigned char *)out, data, length); }
static int unbase64(char *out, const char *text, int length) {
  int decoded = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)text, length);
  if (decoded < 0) return 0;
  for (int i = length; i > 0 && text[i - 1] == '='; i--) decoded--;
  out[decoded] = 0;
  return decoded;
}

static void authenticate(Connection *c) {
  char plain[256], encoded[512];
  c->state = AUTHENTICATING;
  if (!opt.scram) {
    int length = sprintf(plain, "%c%s%c%s", 0, c->account, 0, opt.password);
    base64(encoded, plain, length);
    put(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>", encoded);
    return;
  }
  unsigned char random[18];
  RAND_bytes(random, sizeof random);
  base64(c->nonce, random, sizeof random);
  sprintf(c->client_first, "n=%s,r=%s", c->account, c->nonce);
  int length = sprintf(plain, "n,,%s", c->client_first);
  base64(encoded, plain, length);
  put(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>%s</auth>", encoded);
}

static void hmac(unsigned char out[20], const void *key, const char *text) {
  unsigned int length = 20;
  HMAC(EVP_sha1(), key, 20, (const unsigned char *)text, strlen(text), out, &length);
}

/* RFC 5802 3. */
static void answer_challenge(Connection *c, const char *text, int length) {
  char challenge[512], salt[256], message[2048], final[512], encoded[1024], proof64[64];
  unsigned char salted[20], client_key[20], stored_key[20], signature[20];
  if (length > 600) die("a challenge of %d bytes", length);
  unbase64(challenge, text, length);
  char *nonce = strstr(challenge, "r="), *salt64 = strstr(challenge, ",s="), *rounds = strstr(challenge, ",i=");
  if (nonce != challenge || salt64 == NULL || rounds == NULL) die("not a SCRAM challenge: %s", challenge);
  int salt_length = unbase64(salt, salt64 + 3, (int)(strcspn(salt64 + 3, ",")));
  PKCS5_PBKDF2_HMAC_SHA1(opt.password, (int)strlen(opt.password), (unsigned char *)salt, salt_length, atoi(rounds + 3), 20, salted);
  hmac(client_key, salted, "Client Key");
  EVP_Digest(client_key, 20, stored_key, NULL, EVP_sha1(), NULL);
  sprintf(final, "c=biws,%.*s", (int)strcspn(nonce, ","), nonce);
  snprintf(message, sizeof message, "%s,%s,%s", c->client_first, challenge, final);
  hmac(signature, stored_key, message);
  for (int i = 0; i < 20; i++) client_key[i] ^= signature[i];
  base64(proof64, client_key, 20);
  int final_length = (int)strlen(final);
  final_length += sprintf(final + final_length, ",p=%s", proof64);
  base64(encoded, final, final_length);
  put(c, "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>", encoded);
}

static void connect_one(int index) {
  Connection *c = &connections[index];
  char *in = c->in, *out = c->out;
  memset(c, 0, sizeof *c);
  c->in = in != NULL ? in : malloc(IN_BYTES);
  c->out = out != NULL ? out : malloc(OUT_BYTES);
  c->index = index;
  c->began = now_ns();
  sprintf(c->account, "u%d", index);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int yes = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port) };
  /* An address has some 28,000 ports: ten thousand connections, and those just closed, come from several. */
  struct sockaddr_in own = { .sin_family = AF_INET };
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(index / 5000));
  inet_pton(AF_INET, opt.host, &address.sin_addr);
  if (strncmp(opt.host, "127.", 4) == 0) bind(c->fd, (struct sockaddr *)&own, sizeof own);
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) die("connect: %s", strerror(errno));
  struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.ptr = c };
  c->blocked = true;
  epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
  started++;
}

static void leave(Connection *c) {
  c->state = LEAVING;
  put(c, "</stream:stream>");
}

/* What is measured */

static void send_message(Connection *c) {
  int to = c->index + 1;
  put(c, "<message to='u%d@%s/r' type='chat' id='m%u'><body>%u %llu %u %s</body></message>", to, opt.domain, c->next_seq, c->next_seq,
      (unsigned long long)now_ns(), run_id, filler);
  c->next_seq++;
  sent++;
  if (opt.sm && ++c->since_ack == (uint32_t)opt.acks) {
    c->since_ack = 0;
    put(c, "<r xmlns='urn:xmpp:sm:3'/>");
  }
}

static void send_presence(Connection *c) {
  c->copies = (uint32_t)opt.group;
  put(c, "<presence><status>%d %u</status></presence>", c->index, ++c->next_seq);
  sent++;
}

static bool has(const char *text, int length, const char *word) { return memmem(text, (size_t)length, word, strlen(word)) != NULL; }
static bool begins(const char *text, int length, const char *word) {
  int n = (int)strlen(word);
  return length >= n && memcmp(text, word, (size_t)n) == 0;
}

static void take_message(Connection *c, const char *text, int length) {
  if (has(text, length < 200 ? length : 200, "type='error'") || has(text, length < 200 ? length : 200, "type=\"error\"")) {
    errors++;
    if (errors == 1) fprintf(stderr, "error answer: %.*s\n", length, text);
    return;
  }
  const char *body = memmem(text, (size_t)length, "<body>", 6);
  if (body == NULL) return;
  char *end;
  uint32_t seq = (uint32_t)strtoul(body + 6, &end, 10);
  uint64_t at = strtoull(end, &end, 10);
  /* Of an earlier run, kept for a client that was cut off. */
  if (opt.scenario != CHAT || strtoul(end, NULL, 10) != run_id) return;
  if (seq != c->expected_seq) disordered++;
  c->expected_seq = seq + 1;
  received++;
  if (measuring) {
    measured++;
    histogram[bucket_of(now_ns() - at)]++;
  }
  if (!stopping) send_message(&connections[c->index - 1]);
}

static void take_presence(Connection *c, const char *text, int length) {
  const char *status = memmem(text, (size_t)length, "<status>", 8);
  if (status == NULL || opt.scenario != PRESENCE || c->state != READY) return;
  char *end;
  Connection *from = &connections[strtoul(status + 8, &end, 10)];
  if (strtoul(end, NULL, 10) != from->next_seq) {
    disordered++;
    return;
  }
  received++;
  if (measuring) measured++;
  if (--from->copies == 0 && !stopping) send_presence(from);
}

static void become_ready(Connection *c) {
  c->state = READY;
  ready++;
  if (opt.scenario == LOGIN) {
    if (measuring) {
      measured++;
      histogram[bucket_of(now_ns() - c->began)]++;
    }
    logins++;
    leave(c);
  }
}

static void bound(Connection *c) {
  c->state = SETTLING;
  put(c, "<iq type='get' id='q'><query xmlns='jabber:iq:roster'/></iq><presence/>");
}

static void take(Connection *c, const char *text, int length) {
  switch (c->state) {
    case OPENING:
      if (!has(text, length, "features")) break;
      if (opt.tls && !c->secure) {
        c->state = PROCEED;
        put(c, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
      } else authenticate(c);
      return;
    case PROCEED:
      if (!begins(text, length, "<proceed")) break;
      c->ssl = SSL_new(tls);
      SSL_set_fd(c->ssl, c->fd);
      SSL_set_connect_state(c->ssl);
      c->state = SECURING;
      return;
    case AUTHENTICATING:
      if (begins(text, length, "<challenge")) {
        const char *data = memchr(text, '>', (size_t)length);
        const char *end = data == NULL ? NULL : memchr(data, '<', (size_t)(text + length - data));
        if (end == NULL) break;
        answer_challenge(c, data + 1, (int)(end - data - 1));
        return;
      }
      if (!begins(text, length, "<success")) break;
      c->state = REOPENING;
      header(c);
      return;
    case REOPENING:
      if (!has(text, length, "features")) break;
      c->state = BINDING;
      put(c, "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>");
      return;
    case BINDING:
      if (!begins(text, length, "<iq") || !has(text, length, "result")) break;
      if (!opt.sm) bound(c);
      else {
        c->state = ENABLING;
        put(c, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
      }
      return;
    case ENABLING:
      if (!begins(text, length, "<enabled")) break;
      bound(c);
      return;
    case SETTLING:
    case READY:
    case LEAVING:
      if (begins(text, length, "<r ") || begins(text, length, "<r>") || begins(text, length, "<r/")) {
        put(c, "<a xmlns='urn:xmpp:sm:3' h='%u'/>", c->handled);
        return;
      }
      if (begins(text, length, "<a ")) {
        acks_heard++;
        return;
      }
      c->handled++;
      if (begins(text, length, "<message")) take_message(c, text, length);
      else if (begins(text, length, "<presence")) take_presence(c, text, length);
      else if (begins(text, length, "<iq") && c->state == SETTLING && (has(text, length, "id='q'") || has(text, length, "id=\"q\""))) become_ready(c);
      else if (begins(text, length, "<stream:error")) lost(c, "stream error");
      return;
    default:
      break;
  }
  die("connection %d (%s), state %d: did not expect %.*s", c->index, c->account, c->state, length, text);
}

/* Finds whole children of the root by counting tags: servers escape what could be mistaken for one. */
static void scan(Connection *c) {
  int start = 0, at = c->in_scanned;
  while (at < c->in_length) {
    char *open = memchr(c->in + at, '<', (size_t)(c->in_length - at));
    if (open == NULL) {
      at = c->in_length;
      break;
    }
    char *close = memchr(open, '>', (size_t)(c->in + c->in_length - open));
    if (close == NULL) {
      at = (int)(open - c->in);
      break;
    }
    at = (int)(close - c->in) + 1;
    if (open[1] == '?') start = at;
    else if (begins(open, (int)(close - open), "<stream:stream")) start = at;
    else if (open[1] == '/') {
      if (c->depth == 0) {
        lost(c, "the server closed the stream");
        return;
      }
      c->depth--;
    } else if (close[-1] != '/') c->depth++;
    if (c->depth == 0 && start < at) {
      while (start < at && c->in[start] != '<') start++;
      take(c, c->in + start, at - start);
      start = at;
      if (c->state == GONE || c->state == SECURING) {
        c->in_length = c->in_scanned = 0;
        return;
      }
    }
  }
  memmove(c->in, c->in + start, (size_t)(c->in_length - start));
  c->in_length -= start;
  c->in_scanned = at - start;
}

static void shake_hands(Connection *c) {
  int result = SSL_do_handshake(c->ssl);
  if (result == 1) {
    c->secure = true;
    c->state = OPENING;
    header(c);
    want_write(c, false);
    return;
  }
  int error = SSL_get_error(c->ssl, result);
  if (error == SSL_ERROR_WANT_WRITE) want_write(c, true);
  else if (error == SSL_ERROR_WANT_READ) want_write(c, false);
  else die("connection %d: TLS: %s", c->index, ERR_error_string(ERR_get_error(), NULL));
}

static void hear(Connection *c) {
  for (;;) {
    if (c->state == SECURING) shake_hands(c);
    if (c->state == SECURING || c->state == GONE) return;
    int room = IN_BYTES - c->in_length;
    if (room == 0) die("connection %d: a stanza of more than %d bytes", c->index, IN_BYTES);
    int got = c->secure ? SSL_read(c->ssl, c->in + c->in_length, room) : (int)recv(c->fd, c->in + c->in_length, (size_t)room, 0);
    if (got <= 0) {
      if (c->secure ? SSL_get_error(c->ssl, got) == SSL_ERROR_WANT_READ : got < 0 && errno == EAGAIN) return;
      lost(c, "the server hung up");
      return;
    }
    c->in_length += got;
    heard_at = turned_at;
    scan(c);
    if (!c->secure && got < room && c->state != SECURING) return;
  }
}

static void turn(int timeout_ms) {
  struct epoll_event events[256];
  int n = epoll_wait(epoll, events, 256, timeout_ms);
  turned_at = now_ns();
  for (int i = 0; i < n; i++) {
    Connection *c = events[i].data.ptr;
    if (c->state == GONE) continue;
    if (c->state == CONNECTING && (events[i].events & (EPOLLOUT | EPOLLERR))) {
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) die("cannot connect to %s:%d: %s", opt.host, opt.port, strerror(error));
      c->state = OPENING;
      want_write(c, false);
      header(c);
    } else if (c->state != SECURING && (events[i].events & EPOLLOUT)) mark(c);
    if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) hear(c);
    else if (c->state == SECURING) hear(c);
  }
  flush_all();
}

static void run_for(double seconds) {
  uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
  while (now_ns() < end) turn(20);
}

/* Until nothing has come for so long; a minute at most. */
static void run_until_quiet(double seconds) {
  uint64_t end = now_ns() + 60000000000u;
  heard_at = now_ns();
  while (now_ns() - heard_at < (uint64_t)(seconds * 1e9) && now_ns() < end) turn(20);
}

static void log_all_in(void) {
  uint64_t end = now_ns() + 240000000000u;
  while (ready < total) {
    while (started < total && started - ready < opt.parallel) connect_one(started);
    turn(20);
    if (now_ns() > end) die("only %d of %d were logged in within 240 s", ready, total);
  }
}

/* Everybody in the group sees everybody else's presence. What is there already is asked for again, which is harmless. */
static void befriend(void) {
  for (int i = 0; i < total; i++) {
    for (int j = 0; j < total; j++) {
      if (i == j) continue;
      put(&connections[i], "<presence to='u%d@%s' type='subscribe'/>", j, opt.domain);
    }
    flush_all();
    run_until_quiet(0.05);
  }
  run_until_quiet(1);
  for (int i = 0; i < total; i++) {
    for (int j = 0; j < total; j++) {
      if (i == j) continue;
      put(&connections[i], "<presence to='u%d@%s' type='subscribed'/>", j, opt.domain);
    }
    flush_all();
    run_until_quiet(0.05);
  }
  run_until_quiet(1);
}

static void print(double wall, double cpu, double own, double memory, uint64_t missing) {
  printf("{\"count\":%llu,\"seconds\":%.3f,\"cost_us\":%.3f,\"best_us\":%.3f,\"cpu_us\":%.0f,\"own_cpu_us\":%.0f,\"p50_us\":%.0f,\"p95_us\":%.0f,\"p99_us\":%.0f,"
         "\"missing\":%llu,\"disordered\":%llu,\"errors\":%llu,\"acks\":%llu,\"memory_bytes\":%.0f,\"sessions\":%d}\n",
         (unsigned long long)measured, wall, median_slice(), slice_cost[0], cpu, own, percentile(0.5), percentile(0.95), percentile(0.99), (unsigned long long)missing,
         (unsigned long long)disordered, (unsigned long long)errors, (unsigned long long)acks_heard, memory, total);
}

static double own_us(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static void measure_traffic(void) {
  log_all_in();
  if (opt.scenario == PRESENCE) befriend();
  if (opt.scenario == CHAT) {
    for (int i = 0; i < total; i += 2) {
      for (int j = 0; j < opt.window; j++) send_message(&connections[i]);
    }
  } else {
    for (int i = 0; i < total; i++) send_presence(&connections[i]);
  }
  flush_all();
  run_for(opt.warm);
  uint64_t began = now_ns();
  double cpu = cpu_us(), own = own_us();
  measuring = true;
  begin_slices(cpu);
  for (int i = 0; i < SLICES; i++) {
    run_for(opt.seconds / SLICES);
    end_slice();
  }
  measuring = false;
  cpu = cpu_us() - cpu;
  own = own_us() - own;
  double wall = (double)(now_ns() - began) / 1e9;
  /* What is under way must still arrive. */
  stopping = true;
  uint64_t copies = opt.scenario == PRESENCE ? (uint64_t)opt.group : 1;
  for (int i = 0; i < 100 && received + errors < sent * copies; i++) run_for(0.05);
  print(wall, cpu, own, 0, sent * copies - received - errors);
  /* A client that said good-bye is not waited for, and nothing is kept for it. */
  for (int i = 0; i < total; i++) leave(&connections[i]);
  flush_all();
  for (int i = 0; i < 100 && gone < total; i++) run_for(0.05);
}

static void measure_logins(void) {
  uint64_t began = now_ns(), warm = (uint64_t)(opt.count / 4);
  double cpu = 0, own = 0;
  total = opt.count + (int)warm;
  while (gone < total) {
    if (!measuring && logins >= warm) {
      began = now_ns();
      cpu = cpu_us();
      own = own_us();
      measuring = true;
      begin_slices(cpu);
    }
    if (measuring && measured - slice_count >= (uint64_t)(opt.count / SLICES)) end_slice();
    while (started < total && started - gone < opt.parallel) connect_one(started);
    turn(20);
    if (now_ns() - began > 60000000000u) die("%d of %d logins were not done within 60 s", total - gone, total);
  }
  print((double)(now_ns() - began) / 1e9, cpu_us() - cpu, own_us() - own, 0, 0);
}

static void measure_memory(void) {
  double before = memory_bytes(), cpu = cpu_us();
  uint64_t began = now_ns();
  log_all_in();
  run_for(opt.settle);
  measured = (uint64_t)total;
  print((double)(now_ns() - began) / 1e9, cpu_us() - cpu, own_us(), memory_bytes() - before, 0);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  for (int i = 1; i < argc; i += 2) {
    const char *key = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
    if (!strcmp(key, "--scenario")) opt.scenario = !strcmp(value, "chat") ? CHAT : !strcmp(value, "login") ? LOGIN : !strcmp(value, "idle") ? IDLE : PRESENCE;
    else if (!strcmp(key, "--host")) opt.host = value;
    else if (!strcmp(key, "--port")) opt.port = atoi(value);
    else if (!strcmp(key, "--domain")) opt.domain = value;
    else if (!strcmp(key, "--password")) opt.password = value;
    else if (!strcmp(key, "--pairs")) opt.pairs = atoi(value);
    else if (!strcmp(key, "--window")) opt.window = atoi(value);
    else if (!strcmp(key, "--count")) opt.count = atoi(value);
    else if (!strcmp(key, "--group")) opt.group = atoi(value);
    else if (!strcmp(key, "--parallel")) opt.parallel = atoi(value);
    else if (!strcmp(key, "--body")) opt.body = atoi(value);
    else if (!strcmp(key, "--warm")) opt.warm = atof(value);
    else if (!strcmp(key, "--seconds")) opt.seconds = atof(value);
    else if (!strcmp(key, "--settle")) opt.settle = atof(value);
    else if (!strcmp(key, "--tls")) opt.tls = atoi(value) != 0;
    else if (!strcmp(key, "--sm")) opt.sm = atoi(value) != 0;
    else if (!strcmp(key, "--acks")) opt.acks = atoi(value);
    else if (!strcmp(key, "--mechanism")) opt.scram = strcmp(value, "PLAIN") != 0;
    else if (!strcmp(key, "--cpu")) opt.cpu_file = value;
    else if (!strcmp(key, "--memory")) opt.memory_file = value;
    else die("unknown option %s", key);
  }
  RAND_bytes((unsigned char *)&run_id, sizeof run_id);
  /* The numbers before it take up some 35 of the body's bytes. */
  memset(filler, 'x', (size_t)(opt.body > 35 ? opt.body - 35 : 1));
  tls = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
  SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  epoll = epoll_create1(0);
  total = opt.scenario == CHAT ? 2 * opt.pairs : opt.scenario == PRESENCE ? opt.group : opt.count;
  connections = calloc((size_t)total * 2 + 64, sizeof *connections);
  dirty = calloc((size_t)total * 2 + 64, sizeof *dirty);
  if (opt.scenario == LOGIN) measure_logins();
  else if (opt.scenario == IDLE) measure_memory();
  else measure_traffic();
  return 0;
}
