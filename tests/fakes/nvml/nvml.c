/* A libnvidia-ml.so.1 without a GPU: answers what the file $FAKE_NVML says, read at every call.
 *
 * Lines are `key value`. Keys of a card are `0.power`, those of its GPU instances `0.mig1.memory`.
 * No line: NVML_ERROR_NOT_SUPPORTED. A value `!999`: that error code. `0.lost 1`: the card is lost.
 * `gone 1`: the driver is gone. `hang nvmlDeviceGetPowerUsage`: that call does not come back while
 * the line is there. `event 7 0 79`: event number 7 is Xid 79 of card 0.
 * Init and shutdown are written to $FAKE_NVML.log. The layouts are those of nvml.h.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int ret;
typedef unsigned long long u64;
typedef struct { int card, mig; } device;
typedef union { double d; unsigned ui; unsigned long ul; u64 ull; long long sll; int si; } value;
struct temperature { unsigned version; int sensor, out; };
struct pci { char old[16]; unsigned numbers[5]; char id[32]; };
struct memory { unsigned version; u64 total, reserved, free, used; };
struct sample { u64 at; value v; };
struct field { unsigned id, scope; long long at, latency; unsigned type; int code; value v; };
struct process { unsigned pid; u64 memory; unsigned instance, compute; };
struct event { device *d; u64 type, data; unsigned instance, compute; };

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, SMALL = 7,
       NO_DRIVER = 9, TIMED_OUT = 10, LOST = 15 };
enum { CARDS = 16, MIGS = 8, LINE = 4096 };

static device devices[CARDS][MIGS + 1];
static int initialized;
static u64 last_event;

/* The text after `key ` of the control file; 0 where there is no such line. */
static int line_of(const char *key, char *out) {
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[LINE];
    size_t length = strlen(key);
    int found = 0;
    if (!file) return 0;
    while (!found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, key, length) && line[length] == ' ') {
            strcpy(out, line + length + 1);
            found = 1;
        }
    }
    fclose(file);
    return found;
}

static int global(const char *key) {
    char text[LINE];
    return line_of(key, text) ? atoi(text) : 0;
}

static void note(const char *what) {
    char path[LINE];
    snprintf(path, sizeof path, "%s.log", getenv("FAKE_NVML") ? getenv("FAKE_NVML") : "/dev/null");
    FILE *file = fopen(path, "a");
    if (file) { fprintf(file, "%s\n", what); fclose(file); }
}

static ret look(device *d, const char *key, char *out) {
    char whole[256];
    if (d->mig) snprintf(whole, sizeof whole, "%d.mig%d.%s", d->card, d->mig - 1, key);
    else snprintf(whole, sizeof whole, "%d.%s", d->card, key);
    if (!line_of(whole, out)) return NOT_SUPPORTED;
    return out[0] == '!' ? atoi(out + 1) : OK;
}

static ret enter(const char *call, device *d) {
    char text[LINE];
    while (line_of("hang", text) && !strcmp(text, call)) usleep(20000);
    if (!initialized || global("gone")) return UNINITIALIZED;
    if (d) {
        device card = {d->card, 0};
        if (look(&card, "lost", text) == OK && atoi(text)) return LOST;
    }
    return OK;
}

#define ENTER(d) { ret entered = enter(__func__, d); if (entered) return entered; }
#define LOOK(d, key) { ret found = look(d, key, text); if (found) return found; }
#define ONE(name, type, key) \
    ret name(device *d, type *out) { \
        char text[LINE]; ENTER(d) LOOK(d, key) *out = (type)strtoull(text, 0, 10); return OK; }
#define CHOSEN(name, type, key) \
    ret name(device *d, int which, type *out) { \
        char text[LINE], whole[64]; ENTER(d) \
        snprintf(whole, sizeof whole, key ".%d", which); \
        LOOK(d, whole) *out = (type)strtoull(text, 0, 10); return OK; }
#define TEXT(name, key) \
    ret name(device *d, char *out, unsigned size) { \
        char text[LINE]; ENTER(d) LOOK(d, key) snprintf(out, size, "%s", text); return OK; }

ret nvmlInitWithFlags(unsigned flags) {
    char text[LINE];
    (void)flags;
    note("init");
    while (line_of("hang", text) && !strcmp(text, __func__)) usleep(20000);
    if (global("gone")) return NO_DRIVER;
    if (line_of("init", text) && text[0] == '!') return atoi(text + 1);
    for (int c = 0; c < CARDS; c++)
        for (int m = 0; m <= MIGS; m++) devices[c][m] = (device){c, m};
    initialized = 1;
    return OK;
}

ret nvmlShutdown(void) {
    note("shutdown");
    if (!initialized) return UNINITIALIZED;
    initialized = 0;
    return OK;
}

ret nvmlSystemGetDriverVersion(char *out, unsigned size) {
    char text[LINE];
    ENTER(0)
    if (!line_of("driver", text)) return NOT_SUPPORTED;
    snprintf(out, size, "%s", text);
    return OK;
}

ret nvmlSystemGetCudaDriverVersion_v2(int *out) {
    ENTER(0)
    *out = global("cuda");
    return *out ? OK : NOT_SUPPORTED;
}

ret nvmlDeviceGetCount_v2(unsigned *out) { ENTER(0) *out = global("cards"); return OK; }

ret nvmlDeviceGetHandleByIndex_v2(unsigned index, device **out) {
    ENTER(index < CARDS ? &devices[index][0] : 0)
    if ((int)index >= global("cards")) return INVALID;
    *out = &devices[index][0];
    return OK;
}

TEXT(nvmlDeviceGetName, "name")
TEXT(nvmlDeviceGetUUID, "uuid")
ONE(nvmlDeviceGetPowerUsage, unsigned, "power")
ONE(nvmlDeviceGetEnforcedPowerLimit, unsigned, "power_limit")
ONE(nvmlDeviceGetTotalEnergyConsumption, u64, "energy")
ONE(nvmlDeviceGetPerformanceState, unsigned, "pstate")
ONE(nvmlDeviceGetCurrentClocksEventReasons, u64, "reasons")
ONE(nvmlDeviceGetCurrentClocksThrottleReasons, u64, "throttle_reasons")
ONE(nvmlDeviceGetPcieReplayCounter, unsigned, "replays")
ONE(nvmlDeviceGetCurrPcieLinkGeneration, unsigned, "link_generation")
ONE(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, "link_generation_max")
ONE(nvmlDeviceGetCurrPcieLinkWidth, unsigned, "link_width")
ONE(nvmlDeviceGetMaxPcieLinkWidth, unsigned, "link_width_max")
ONE(nvmlDeviceGetRetiredPagesPendingStatus, unsigned, "retired_pending")
ONE(nvmlDeviceGetNumFans, unsigned, "fans")
ONE(nvmlDeviceGetFanSpeed, unsigned, "fan")
ONE(nvmlDeviceGetMaxMigDeviceCount, unsigned, "mig_most")
ONE(nvmlDeviceGetGpuInstanceId, unsigned, "instance")
ONE(nvmlDeviceGetSupportedEventTypes, u64, "event_types")
CHOSEN(nvmlDeviceGetClockInfo, unsigned, "clock")
CHOSEN(nvmlDeviceGetMaxClockInfo, unsigned, "clock_max")
CHOSEN(nvmlDeviceGetTemperature, unsigned, "temperature_old")
CHOSEN(nvmlDeviceGetTemperatureThreshold, unsigned, "threshold")
CHOSEN(nvmlDeviceGetPcieThroughput, unsigned, "throughput")
CHOSEN(nvmlDeviceGetFanSpeed_v2, unsigned, "fan")

ret nvmlDeviceGetTemperatureV(device *d, struct temperature *t) {
    char text[LINE];
    ENTER(d)
    LOOK(d, "temperature")
    t->out = atoi(text);
    return OK;
}

ret nvmlDeviceGetPciInfo_v3(device *d, struct pci *out) {
    char text[LINE];
    ENTER(d)
    LOOK(d, "pci")
    memset(out, 0, sizeof *out);
    strncpy(out->id, text, sizeof out->id - 1);
    return OK;
}

ret nvmlDeviceGetUtilizationRates(device *d, unsigned *out) {
    char text[LINE];
    ENTER(d)
    LOOK(d, "rates")
    return sscanf(text, "%u %u", &out[0], &out[1]) == 2 ? OK : NOT_SUPPORTED;
}

/* memory: total reserved used. `old_memory 1` is a driver without version 2. */
static ret memory_of(device *d, u64 *total, u64 *reserved, u64 *used) {
    char text[LINE];
    LOOK(d, "memory")
    return sscanf(text, "%llu %llu %llu", total, reserved, used) == 3 ? OK : NOT_SUPPORTED;
}

ret nvmlDeviceGetMemoryInfo_v2(device *d, struct memory *out) {
    u64 total, reserved, used;
    ENTER(d)
    if (global("old_memory")) return 13;
    ret found = memory_of(d, &total, &reserved, &used);
    if (found) return found;
    out->total = total; out->reserved = reserved; out->used = used;
    out->free = total - used - reserved;
    return OK;
}

ret nvmlDeviceGetMemoryInfo(device *d, u64 *out) {
    u64 total, reserved, used;
    ENTER(d)
    ret found = memory_of(d, &total, &reserved, &used);
    if (found) return found;
    out[0] = total; out[1] = total - used - reserved; out[2] = used + reserved;
    return OK;
}

/* samples: microseconds:percent ... */
ret nvmlDeviceGetSamples(device *d, int type, u64 since, unsigned *kind, unsigned *count,
                         struct sample *out) {
    char text[LINE], *word, *rest;
    unsigned number = 0;
    (void)type;
    ENTER(d)
    LOOK(d, "samples")
    for (word = strtok_r(text, " ", &rest); word; word = strtok_r(0, " ", &rest)) {
        u64 at = strtoull(word, 0, 10);
        if (at <= since || (out && number >= *count)) continue;
        if (out) { out[number].at = at; out[number].v.ui = atoi(strchr(word, ':') + 1); }
        number++;
    }
    *kind = 1;
    *count = number;
    return number ? OK : NOT_FOUND;
}

/* field.N: value, of which type: `u` unsigned int, `l` unsigned long long. */
ret nvmlDeviceGetFieldValues(device *d, int count, struct field *out) {
    char text[LINE], key[64];
    ENTER(d)
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "field.%u", out[i].id);
        out[i].code = look(d, key, text);
        if (out[i].code) continue;
        out[i].type = text[0] == 'u' ? 1 : 3;
        out[i].v.ull = strtoull(text + 2, 0, 10);
    }
    return OK;
}

ret nvmlDeviceGetViolationStatus(device *d, int policy, u64 *out) {
    char text[LINE], key[64];
    ENTER(d)
    snprintf(key, sizeof key, "violation.%d", policy);
    LOOK(d, key)
    out[0] = 0;
    out[1] = strtoull(text, 0, 10);
    return OK;
}

ret nvmlDeviceGetTotalEccErrors(device *d, int severity, int counter, u64 *out) {
    char text[LINE], key[64];
    (void)counter;
    ENTER(d)
    snprintf(key, sizeof key, "ecc.%d", severity);
    LOOK(d, key)
    *out = strtoull(text, 0, 10);
    return OK;
}

/* remapped: corrected uncorrected pending failure */
ret nvmlDeviceGetRemappedRows(device *d, unsigned *a, unsigned *b, unsigned *c, unsigned *e) {
    char text[LINE];
    ENTER(d)
    LOOK(d, "remapped")
    return sscanf(text, "%u %u %u %u", a, b, c, e) == 4 ? OK : NOT_SUPPORTED;
}

ret nvmlDeviceGetMigMode(device *d, unsigned *now, unsigned *pending) {
    char text[LINE];
    ENTER(d)
    LOOK(d, "mig")
    *now = *pending = atoi(text);
    return OK;
}

ret nvmlDeviceGetMigDeviceHandleByIndex(device *d, unsigned index, device **out) {
    char text[LINE];
    ENTER(d)
    if (index >= MIGS) return INVALID;
    if (look(&devices[d->card][index + 1], "instance", text)) return NOT_FOUND;
    *out = &devices[d->card][index + 1];
    return OK;
}

/* compute, graphics: pid:bytes ...; bytes `-` is what the driver may not tell. */
static ret processes(const char *call, device *d, const char *key, unsigned *count,
                     struct process *out) {
    char text[LINE], *word, *rest;
    unsigned number = 0, room = *count;
    ret entered = enter(call, d);
    if (entered) return entered;
    LOOK(d, key)
    for (word = strtok_r(text, " ", &rest); word; word = strtok_r(0, " ", &rest)) {
        char *memory = strchr(word, ':');
        if (!memory) continue;
        if (out && number < room) {
            memset(&out[number], 0, sizeof *out);
            out[number].pid = atoi(word);
            out[number].memory = memory[1] == '-' ? (u64)-1 : strtoull(memory + 1, 0, 10);
        }
        number++;
    }
    *count = number;
    return number > room ? SMALL : OK;
}

ret nvmlDeviceGetComputeRunningProcesses_v3(device *d, unsigned *count, struct process *out) {
    return processes(__func__, d, "compute", count, out);
}

ret nvmlDeviceGetGraphicsRunningProcesses_v3(device *d, unsigned *count, struct process *out) {
    return processes(__func__, d, "graphics", count, out);
}

ret nvmlEventSetCreate(void **out) { ENTER(0) *out = &last_event; return OK; }
ret nvmlEventSetFree(void *set) { (void)set; return OK; }

ret nvmlDeviceRegisterEvents(device *d, u64 types, void *set) {
    (void)types; (void)set;
    ENTER(d)
    return OK;
}

ret nvmlEventSetWait_v2(void *set, struct event *out, unsigned timeout) {
    (void)set;
    for (unsigned waited = 0; waited <= timeout; waited += 20) {
        char text[LINE];
        u64 number;
        int card, xid;
        ENTER(0)
        if (line_of("event", text) && sscanf(text, "%llu %d %d", &number, &card, &xid) == 3
            && number > last_event) {
            last_event = number;
            memset(out, 0, sizeof *out);
            out->d = &devices[card][0];
            out->type = 8;
            out->data = xid;
            return OK;
        }
        usleep(20000);
    }
    return TIMED_OUT;
}
