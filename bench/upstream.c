/* An OpenAI-compatible LLM server that answers at once: what is measured stands before it.
 *
 *     upstream          prints its free port on 127.0.0.1, serves until its stdin ends
 *
 * GET /v1/models lists one model, `bench`. POST /v1/chat/completions answers whole, or, with
 * "stream":true, in `max_tokens` numbered events: the first at once and then one every
 * `interval_ms` (a field of our own in the body; 0 = all at once).
 */
#include "net.h"

enum { WHEEL = 1024, TOKEN = 6, MOST = 1 << 20 };

typedef struct Conn {
    int fd;
    Buffer in, out;
    int wants_out, closed;
    long next, total, interval;
    int usage;
    struct Conn *after, **before; /* in a slot of the wheel while an event is due */
} Conn;

static int epoll;
static Conn *wheel[WHEEL];
static Conn *dead;
static long due_count;
static int64_t tick; /* the millisecond up to which the wheel was served */

#define CHUNK(delta, finish)                                                                  \
    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":"       \
    "1700000000,\"model\":\"bench\",\"system_fingerprint\":\"fp_bench\",\"choices\":[{"        \
    "\"index\":0,\"delta\":{" delta "},\"logprobs\":null,\"finish_reason\":" finish "}]}\n\n"

static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char ROLE[] = CHUNK("\"role\":\"assistant\",\"content\":\"\"", "null");
static const char CONTENT[] = CHUNK("\"content\":\"000000 \"", "null");
static const char STOP[] = CHUNK("", "\"stop\"");
static const char USAGE[] =
    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
    "\"model\":\"bench\",\"choices\":[],\"usage\":{\"prompt_tokens\":40,\"completion_tokens\":%ld,"
    "\"total_tokens\":%ld}}\n\n";
static const char DONE[] = "data: [DONE]\n\n";
static const char WHOLE[] =
    "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":"
    "\"bench\",\"system_fingerprint\":\"fp_bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
    "\"assistant\",\"content\":\"The quick brown fox jumps over the lazy dog, again and again, until"
    " the dog has had enough of it and looks for another place to sleep.\"},\"logprobs\":null,"
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":40,\"completion_tokens\":32,"
    "\"total_tokens\":72}}";
static const char MODELS[] =
    "{\"object\":\"list\",\"data\":[{\"id\":\"bench\",\"object\":\"model\",\"created\":1700000000,"
    "\"owned_by\":\"bench\"}]}";

static void chunk(Conn *c, const char *data, size_t len) {
    char size[16];
    append(&c->out, size, sprintf(size, "%zx\r\n", len));
    append(&c->out, data, len);
    append(&c->out, "\r\n", 2);
}

static void number(Conn *c, long n) {
    size_t behind = sizeof CONTENT - 1 - (strstr(CONTENT, "\"000000 \"") - CONTENT);
    char *digits = c->out.data + c->out.len - 2 - behind;
    for (int i = TOKEN; i > 0; i--, n /= 10) digits[i] = '0' + n % 10;
}

static void whole(Conn *c, const char *status, const char *body, size_t len) {
    char head[160];
    append(&c->out, head,
           sprintf(head, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                   status, len));
    append(&c->out, body, len);
}

static void unwheel(Conn *c) {
    if (!c->before) return;
    *c->before = c->after;
    if (c->after) c->after->before = c->before;
    c->before = NULL;
    due_count--;
}

static void enwheel(Conn *c, int64_t at_ms) {
    Conn **slot = &wheel[at_ms % WHEEL];
    c->after = *slot;
    if (*slot) (*slot)->before = &c->after;
    c->before = slot;
    *slot = c;
    due_count++;
}

static void hang_up(Conn *c) {
    if (c->closed) return;
    c->closed = 1;
    unwheel(c);
    close(c->fd);
    c->after = dead; /* freed when the round is over: epoll may still name it */
    dead = c;
}

static void push(Conn *c) {
    int state = flush(c->fd, &c->out);
    if (state < 0) {
        hang_up(c);
    } else if (state != c->wants_out) {
        struct epoll_event e = {.events = EPOLLIN | (state ? EPOLLOUT : 0), .data.ptr = c};
        c->wants_out = state;
        epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
    }
}

static void event(Conn *c) {
    chunk(c, CONTENT, sizeof CONTENT - 1);
    number(c, c->next++);
}

static void last_words(Conn *c) {
    char usage[sizeof USAGE + 48];
    chunk(c, STOP, sizeof STOP - 1);
    if (c->usage) chunk(c, usage, sprintf(usage, USAGE, c->total, c->total + 40));
    chunk(c, DONE, sizeof DONE - 1);
    append(&c->out, "0\r\n\r\n", 5);
}

/* All that is due now: one event, or with no interval the rest. */
static void speak(Conn *c) {
    do event(c);
    while (!c->interval && c->next < c->total);
    if (c->next == c->total)
        last_words(c);
    else
        enwheel(c, tick + c->interval);
    push(c);
}

static void chat(Conn *c, const char *body, size_t len) {
    if (!memmem(body, len, "\"stream\":true", 13) && !memmem(body, len, "\"stream\": true", 14)) {
        whole(c, "200 OK", WHOLE, sizeof WHOLE - 1);
        push(c);
        return;
    }
    c->next = 0;
    c->total = number_after(body, len, "\"max_tokens\"", 16);
    c->interval = number_after(body, len, "\"interval_ms\"", 0);
    if (c->total < 1 || c->total > MOST) c->total = 1;
    if (c->interval < 0 || c->interval >= WHEEL) c->interval = WHEEL - 1;
    c->usage = memmem(body, len, "\"include_usage\":true", 20) != NULL;
    append(&c->out, STREAM_HEAD, sizeof STREAM_HEAD - 1);
    chunk(c, ROLE, sizeof ROLE - 1);
    speak(c);
}

/* Serve the first request in the buffer, if it is whole. */
static int serve(Conn *c) {
    Buffer *in = &c->in;
    char *end = in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
    if (!end) return 0;
    size_t head = end + 4 - in->data, body = 0;
    for (char *line = in->data; line < end; line = (char *)memmem(line, end + 2 - line, "\r\n", 2) + 2)
        if (!strncasecmp(line, "content-length:", 15)) body = strtoul(line + 15, NULL, 10);
    if (in->len < head + body) return 0;
    if (!strncmp(in->data, "POST /v1/chat/completions ", 26)) {
        chat(c, in->data + head, body);
    } else {
        int models = !strncmp(in->data, "GET /v1/models ", 15);
        if (models) whole(c, "200 OK", MODELS, sizeof MODELS - 1);
        else whole(c, "404 Not Found", "{}", 2);
        push(c);
    }
    drop_front(in, head + body);
    return !c->closed && !c->before;
}

static void welcome(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        Conn *c = calloc(1, sizeof *c);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (!c) die("memory");
        no_delay(fd);
        c->fd = fd;
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    }
}

static void ready(Conn *c, uint32_t events) {
    if (events & EPOLLOUT) push(c);
    if (c->closed || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    if (fill(c->fd, &c->in) < 0) {
        hang_up(c);
        return;
    }
    while (!c->before && serve(c)) {
    }
}

static void turn_wheel(void) {
    int64_t now = now_us() / 1000;
    if (!due_count) tick = now;
    while (tick < now) {
        Conn *c;
        tick++;
        Conn *turn = wheel[tick % WHEEL];
        wheel[tick % WHEEL] = NULL;
        if (turn) turn->before = &turn;
        while ((c = turn)) {
            unwheel(c);
            speak(c);
        }
    }
}

static void bury(void) {
    while (dead) {
        Conn *c = dead;
        dead = c->after;
        free(c->in.data);
        free(c->out.data);
        free(c);
    }
}

int main(void) {
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    raise_descriptors();
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event door = {.events = EPOLLIN, .data.ptr = &listener};
    struct epoll_event parent = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &door);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &parent)) die("stdin must be a pipe");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    tick = now_us() / 1000;
    for (;;) {
        struct epoll_event events[512];
        int n = epoll_wait(epoll, events, 512, due_count ? 1 : -1);
        turn_wheel();
        for (int i = 0; i < n; i++) {
            if (!events[i].data.ptr) return 0;
            if (events[i].data.ptr == &listener) welcome(listener);
            else if (!((Conn *)events[i].data.ptr)->closed) ready(events[i].data.ptr, events[i].events);
        }
        bury();
    }
}
