/* The clients of the benchmark, and the judge of what they were told.
 *
 *     load plain  PORT CONNECTIONS SECONDS PROMPT_BYTES
 *     load stream PORT CONNECTIONS SECONDS PROMPT_BYTES EVENTS INTERVAL_MS
 *
 * Each connection of the loopback asks anew as soon as it was answered; streams that run when the
 * seconds are over may end. Prints one JSON object. An answer counts as `dropped` where it broke,
 * was refused or came to no end, as `disordered` where an event of it was missing, twice or late.
 */
#include "net.h"

enum { GRACE_US = 15000000, RAMP_US = 1000000 };

typedef enum { HEAD, SIZE, DATA, TRAILER } Part;

typedef struct {
    int fd, wants_out, streaming;
    Buffer in, out, line;
    Part part;
    size_t left; /* bytes of the body or of its chunk */
    int chunked, status;
    int64_t asked, last;
    long next;
    int finished, done, wrong;
} Conn;

typedef struct {
    float *of;
    size_t len, room;
} Times;

static int epoll, port, streams;
static int64_t end_at, limit_at;
static long wanted_events;
static int open_conns;
static Buffer request;
static Times whole, first, gap;
static long answers, events, dropped, disordered;

static void note(Times *t, int64_t us) {
    if (t->len == t->room) {
        t->room = t->room ? t->room * 2 : 65536;
        t->of = realloc(t->of, t->room * sizeof *t->of);
        if (!t->of) die("memory");
    }
    t->of[t->len++] = us;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void tell(const char *name, Times *t) {
    qsort(t->of, t->len, sizeof *t->of, by_size);
    printf(", \"%s_p50_us\": %.0f, \"%s_p99_us\": %.0f", name, t->len ? t->of[t->len / 2] : 0, name,
           t->len ? t->of[t->len * 99 / 100] : 0);
}

static void write_request(size_t prompt, long interval) {
    static const char words[] = "Tell me what the fox does to the dog, please. ";
    Buffer body = {0};
    char text[512];
    append(&body, text, sprintf(text, "{\"model\":\"bench\",\"temperature\":0.7,"));
    if (streams)
        append(&body, text, sprintf(text, "\"stream\":true,\"max_tokens\":%ld,\"interval_ms\":%ld,",
                                    wanted_events, interval));
    append(&body, text, sprintf(text, "\"messages\":[{\"role\":\"system\",\"content\":\"You are "
                                      "helpful.\"},{\"role\":\"user\",\"content\":\""));
    for (size_t n = 0; n < prompt; n++) append(&body, &words[n % (sizeof words - 1)], 1);
    append(&body, "\"}]}", 4);
    append(&request, text,
           sprintf(text, "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: "
                         "bench\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: "
                         "%zu\r\n\r\n", port, body.len));
    append(&request, body.data, body.len);
    free(body.data);
}

static void hang_up(Conn *c) {
    if (c->fd < 0) return;
    close(c->fd);
    c->fd = -1;
    open_conns--;
}

static void lose(Conn *c) {
    if (c->streaming) dropped++;
    c->streaming = 0;
    hang_up(c);
}

static void push(Conn *c) {
    int state = flush(c->fd, &c->out);
    if (state < 0) {
        lose(c);
    } else if (state != c->wants_out) {
        struct epoll_event e = {.events = EPOLLIN | (state ? EPOLLOUT : 0), .data.ptr = c};
        c->wants_out = state;
        epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
    }
}

static void ask(Conn *c) {
    c->part = HEAD;
    c->next = c->finished = c->done = c->wrong = 0;
    c->line.len = 0;
    c->streaming = 1;
    c->asked = now_us();
    append(&c->out, request.data, request.len);
    push(c);
}

static void call(Conn *c) {
    struct sockaddr_in address = loopback(port);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    no_delay(c->fd);
    c->wants_out = 0;
    c->in.len = c->out.len = 0;
    open_conns++;
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
        c->streaming = 1;
        lose(c);
        return;
    }
    ask(c);
}

/* One answer is over: judge it, ask anew. */
static void answered(Conn *c, int keep) {
    int64_t now = now_us();
    c->streaming = 0;
    if (c->status != 200 || (streams && !(c->finished && c->done))) {
        dropped++;
    } else if (streams && (c->wrong || c->next != wanted_events)) {
        disordered++;
    } else {
        answers++;
        note(&whole, now - c->asked);
    }
    if (!keep) hang_up(c);
    if (now >= end_at) hang_up(c);
    else if (keep) ask(c);
    else call(c);
}

static void content(Conn *c, const char *digits) {
    int64_t now = now_us();
    if (strtol(digits, NULL, 10) != c->next) c->wrong = 1;
    if (c->next++) note(&gap, now - c->last);
    else note(&first, now - c->asked);
    c->last = now;
    events++;
}

/* One line of the stream, without its end; the buffer holds a NUL behind it. */
static void line(Conn *c, const char *text, size_t len) {
    static const char word[] = "\"content\":\"";
    if (len < 6 || memcmp(text, "data: ", 6)) return;
    if (!strcmp(text, "data: [DONE]")) {
        c->done = 1;
        return;
    }
    const char *at = memmem(text, len, word, sizeof word - 1);
    if (c->done || c->finished) c->wrong |= at != NULL;
    if (at && at[sizeof word - 1] != '"') content(c, at + sizeof word - 1);
    if (memmem(text, len, "\"finish_reason\":\"stop\"", 22)) c->finished = 1;
}

static void body(Conn *c, const char *data, size_t len) {
    if (!streams) return;
    append(&c->line, data, len);
    char *start = c->line.data, *end = start + c->line.len, *stop;
    while ((stop = memchr(start, '\n', end - start))) {
        *stop = 0;
        line(c, start, stop - start);
        start = stop + 1;
    }
    drop_front(&c->line, start - c->line.data);
}

static int head(Conn *c, char *text, size_t len) {
    char said = text[len - 1];
    text[len - 1] = 0;
    c->status = len > 12 ? atoi(text + 9) : 0;
    c->chunked = strcasestr(text, "\r\ntransfer-encoding: chunked") != NULL;
    char *length = strcasestr(text, "\r\ncontent-length:");
    int closes = strcasestr(text, "\r\nconnection: close") != NULL;
    c->left = length ? strtoul(length + 17, NULL, 10) : 0;
    c->part = c->chunked ? SIZE : DATA;
    text[len - 1] = said;
    return !closes;
}

/* Read one step of an answer from `data`. The bytes used; 0 where more are needed, or it is over. */
static size_t step(Conn *c, char *data, size_t len, int *keep, int *over) {
    if (c->part == DATA) {
        size_t n = len < c->left ? len : c->left;
        body(c, data, n);
        c->left -= n;
        if (!c->left && c->chunked) c->part = TRAILER;
        *over = !c->left && !c->chunked;
        return n;
    }
    char *end = memmem(data, len, c->part == HEAD ? "\r\n\r\n" : "\r\n", c->part == HEAD ? 4 : 2);
    if (!end) return 0;
    size_t used = end - data + (c->part == HEAD ? 4 : 2);
    if (c->part == HEAD) {
        *keep = head(c, data, used);
        *over = !c->chunked && !c->left;
    } else if (c->part == TRAILER) { /* the line end behind a chunk, or behind the last one */
        *over = c->left == 0 && c->chunked == 2;
        c->part = SIZE;
    } else {
        c->left = strtoul(data, NULL, 16);
        c->chunked = c->left ? 1 : 2;
        c->part = c->left ? DATA : TRAILER;
    }
    return used;
}

static void ready(Conn *c, uint32_t what) {
    if (what & EPOLLOUT) push(c);
    if (c->fd < 0 || !(what & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    int gone = fill(c->fd, &c->in) < 0, keep = 1, over = 0;
    size_t used = 0, n;
    while (c->streaming && !over && used < c->in.len &&
           (n = step(c, c->in.data + used, c->in.len - used, &keep, &over)))
        used += n;
    drop_front(&c->in, used);
    if (over) answered(c, keep && !gone);
    else if (gone) lose(c);
}

static void run(Conn *conns, int count) {
    int64_t began = now_us();
    int called = 0;
    while (called < count || open_conns) {
        int64_t now = now_us();
        /* Many streams begin one after the other: a thousand at one instant is another question. */
        int due = count < 100 ? count : (now - began) * count / RAMP_US + 1;
        for (; called < count && called < due; called++) call(&conns[called]);
        if (now > limit_at) break;
        struct epoll_event ready_now[512];
        int n = epoll_wait(epoll, ready_now, 512, called < count ? 1 : 100);
        for (int i = 0; i < n; i++) ready(ready_now[i].data.ptr, ready_now[i].events);
    }
    for (int i = 0; i < called; i++) lose(&conns[i]);
    printf("{\"seconds\": %.6f, \"answers\": %ld, \"events\": %ld, \"dropped\": %ld, "
           "\"disordered\": %ld", (now_us() - began) / 1e6, answers, events, dropped, disordered);
    tell("whole", &whole);
    tell("first", &first);
    tell("gap", &gap);
    puts("}");
}

int main(int argc, char **argv) {
    streams = argc == 8 && !strcmp(argv[1], "stream");
    if (!streams && (argc != 6 || strcmp(argv[1], "plain"))) {
        fputs("load plain PORT CONNECTIONS SECONDS PROMPT_BYTES\n"
              "load stream PORT CONNECTIONS SECONDS PROMPT_BYTES EVENTS INTERVAL_MS\n", stderr);
        return 2;
    }
    port = atoi(argv[2]);
    int count = atoi(argv[3]);
    int64_t seconds_us = atof(argv[4]) * 1e6;
    wanted_events = streams ? atol(argv[6]) : 0;
    long interval = streams ? atol(argv[7]) : 0;
    end_at = now_us() + seconds_us;
    limit_at = end_at + RAMP_US + GRACE_US + wanted_events * interval * 1000;
    raise_descriptors();
    write_request(strtoul(argv[5], NULL, 10), interval);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    Conn *conns = calloc(count, sizeof *conns);
    if (!conns) die("memory");
    run(conns, count);
    return 0;
}
