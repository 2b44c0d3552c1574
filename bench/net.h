/* What the two programs of the benchmark share: the clock, a growing buffer, descriptors. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    char *data;
    size_t len, room;
} Buffer;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void reserve(Buffer *b, size_t more) {
    if (b->len + more <= b->room) return;
    b->room = (b->len + more) * 2;
    b->data = realloc(b->data, b->room);
    if (!b->data) die("memory");
}

static void append(Buffer *b, const char *data, size_t len) {
    reserve(b, len);
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void drop_front(Buffer *b, size_t len) {
    b->len -= len;
    memmove(b->data, b->data + len, b->len);
}

/* As many descriptors as the system lets us have. */
static void raise_descriptors(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void no_delay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Send what the buffer holds; 0 when all is out, 1 when the peer is slow, -1 when it is gone. */
static int flush(int fd, Buffer *b) {
    size_t sent = 0;
    while (sent < b->len) {
        ssize_t n = send(fd, b->data + sent, b->len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno != EAGAIN) return -1;
        if (n < 0) break;
        sent += n;
    }
    drop_front(b, sent);
    return b->len > 0;
}

/* Read what is there. -1: the peer has closed or is gone. */
static int fill(int fd, Buffer *b) {
    for (;;) {
        reserve(b, 65536);
        ssize_t n = recv(fd, b->data + b->len, b->room - b->len, 0);
        if (n > 0) {
            b->len += n;
            if (b->len < b->room) return 0;
        } else if (n == 0) {
            return -1;
        } else if (errno != EINTR) {
            return errno == EAGAIN ? 0 : -1;
        }
    }
}

/* The number behind `key` in JSON text, or `none`. */
static long number_after(const char *text, size_t len, const char *key, long none) {
    const char *at = memmem(text, len, key, strlen(key));
    if (!at) return none;
    at += strlen(key);
    while (at < text + len && (*at == ' ' || *at == ':')) at++;
    return at < text + len ? strtol(at, NULL, 10) : none;
}
