/* Prints a hash of what every operation writes, for the same inputs everywhere: on a host, and as
 * a firmware image on a bare Cortex-M4F, which needs nothing but the static library. */

#include <stddef.h>
#include <stdint.h>

#include "soft_bce.h"

#if defined(__arm__) && !defined(__linux__)

/* Semihosting: the debugger, or QEMU, does the work. */
static int semihost(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void put(const char *text)
{
    semihost(0x04, text); /* SYS_WRITE0 */
}

int main(void);
extern uint32_t bss_start[], bss_end[];
void stack_top(void); /* an address that the linker script sets */

static void reset(void)
{
    uint32_t *word, status[2] = {0x20026, 0}; /* ADP_Stopped_ApplicationExit */
    *(volatile uint32_t *)0xe000ed88 |= 0xf << 20; /* CPACR: the FPU is on */
    __asm__ volatile("dsb\n\tisb");
    for (word = bss_start; word < bss_end; word++)
        *word = 0;
    status[1] = (uint32_t)main();
    semihost(0x20, status); /* SYS_EXIT_EXTENDED */
    for (;;) {
    }
}

static void fault(void)
{
    static const uint32_t status[2] = {0x20026, 3};
    put("fault\n");
    semihost(0x20, status);
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    stack_top, reset, fault, fault, fault, fault, fault,
};

#else

#include <stdio.h>

static void put(const char *text)
{
    fputs(text, stdout);
}

#endif

/* So many moderate logits, whose sums are finite; then any pattern, NaN and infinite too. */
enum { N = 777, MODERATE = 400 };

static uint64_t random_state, hash;
static int failed;

static uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void mix(uint64_t word)
{
    int i;
    for (i = 0; i < 8; i++)
        hash = (hash ^ (word >> 8 * i & 0xff)) * 0x100000001b3u; /* FNV-1a */
}

static void start(void)
{
    hash = 0xcbf29ce484222325u;
}

static void finish(const char *name, soft_bce_status status)
{
    char digits[18];
    int i;
    mix((uint64_t)status);
    for (i = 0; i < 16; i++)
        digits[i] = "0123456789abcdef"[hash >> 4 * (15 - i) & 15];
    digits[16] = '\n';
    digits[17] = 0;
    put(name);
    put(" ");
    put(digits);
    if (status != SOFT_BCE_OK)
        failed = 1;
}

/* The bits of a value; all NaN alike, since the sign and payload of one are not part of the promise. */
static uint64_t bits_f32(float value)
{
    union { float value; uint32_t bits; } both;
    both.value = value;
    return value != value ? 0x7fc00000u : both.bits;
}

static uint64_t bits_f64(double value)
{
    union { double value; uint64_t bits; } both;
    both.value = value;
    return value != value ? 0x7ff8000000000000u : both.bits;
}

static float logit_f32(size_t i)
{
    union { float value; uint32_t bits; } both;
    both.bits = (uint32_t)random_bits();
    if (i < MODERATE)
        both.bits = (both.bits & 0x807fffffu) | (0x3c800000u + (uint32_t)(i % 14 << 23)); /* < 256 */
    return both.value;
}

static double logit_f64(size_t i)
{
    union { double value; uint64_t bits; } both;
    both.bits = random_bits();
    if (i < MODERATE)
        both.bits = (both.bits & 0x800fffffffffffffu) |
                    (0x3f90000000000000u + ((uint64_t)(i % 16) << 52)); /* < 1024 */
    return both.value;
}

static float target_f32(size_t i)
{
    return i % 4 == 0 ? (float)(i % 8 == 0) : (float)(random_bits() >> 40) * 0x1p-24f;
}

static double target_f64(size_t i)
{
    return i % 4 == 0 ? (double)(i % 8 == 0) : (double)(random_bits() >> 11) * 0x1p-53;
}

#define BITS(REAL, S)                                                                             \
    static REAL z_##S[N], t_##S[N], w_##S[N], a_##S[N], b_##S[N];                                 \
    static void hash_arrays_##S(int arrays)                                                       \
    {                                                                                             \
        size_t i;                                                                                 \
        for (i = 0; i < N; i++)                                                                   \
            mix(bits_##S(a_##S[i]));                                                              \
        for (i = 0; arrays > 1 && i < N; i++)                                                     \
            mix(bits_##S(b_##S[i]));                                                              \
    }                                                                                             \
    static void run_##S(const char *kind, const soft_bce_options_##S *options)                    \
    {                                                                                             \
        soft_bce_status s;                                                                        \
        soft_bce_loss_sum sum;                                                                    \
        double result = 0;                                                                        \
        size_t i;                                                                                 \
        put(kind);                                                                                \
        start(), s = soft_bce_loss_##S(z_##S, t_##S, N, options, a_##S, NULL);                    \
        hash_arrays_##S(1), finish("loss", s);                                                    \
        start(), s = soft_bce_sum_##S(z_##S, t_##S, MODERATE, options, &result, NULL);            \
        mix(bits_f64(result)), finish("sum", s);                                                  \
        start(), s = soft_bce_mean_##S(z_##S, t_##S, MODERATE, options, &result, NULL);           \
        mix(bits_f64(result)), finish("mean", s);                                                 \
        start(), s = soft_bce_gradient_##S(z_##S, t_##S, N, options, a_##S, NULL);                \
        hash_arrays_##S(1), finish("gradient", s);                                                \
        for (i = 0; i < N; i++)                                                                   \
            a_##S[i] = z_##S[i];                                                                  \
        start(), s = soft_bce_gradient_in_place_##S(a_##S, t_##S, N, options, NULL);              \
        hash_arrays_##S(1), finish("gradient in place", s);                                       \
        start(), s = soft_bce_sum_gradient_##S(z_##S, t_##S, N, options, a_##S, &result, NULL);   \
        hash_arrays_##S(1), mix(bits_f64(result)), finish("sum, gradient", s);                    \
        start(), s = soft_bce_mean_gradient_##S(z_##S, t_##S, N, options, a_##S, &result, NULL);  \
        hash_arrays_##S(1), mix(bits_f64(result)), finish("mean, gradient", s);                   \
        start(), s = soft_bce_gradient_hessian_##S(z_##S, t_##S, N, options, a_##S, b_##S, NULL); \
        hash_arrays_##S(2), finish("gradient, hessian", s);                                       \
        start(), s = soft_bce_sum_gradient_hessian_##S(z_##S, t_##S, N, options, a_##S, b_##S,    \
                                                       &result, NULL);                            \
        hash_arrays_##S(2), mix(bits_f64(result)), finish("sum, gradient, hessian", s);           \
        start(), s = soft_bce_loss_sum_init(&sum);                                                \
        for (i = 0; i < MODERATE && s == SOFT_BCE_OK; i += 10)                                    \
            s = soft_bce_accumulate_##S(z_##S + i, t_##S + i, 10, NULL, &sum, NULL);              \
        for (i = 0; i < SOFT_BCE_LOSS_SUM_BYTES; i++)                                             \
            mix(sum.bytes[i]);                                                                    \
        finish("accumulate", s);                                                                  \
    }                                                                                             \
    static void all_##S(void)                                                                     \
    {                                                                                             \
        soft_bce_options_##S options = {0};                                                      \
        soft_bce_status s;                                                                        \
        size_t i;                                                                                 \
        for (i = 0; i < N; i++) {                                                                 \
            z_##S[i] = logit_##S(i);                                                              \
            t_##S[i] = target_##S(i);                                                             \
            w_##S[i] = (REAL)(i % 5) / 4;                                                         \
        }                                                                                         \
        run_##S("-- " #S "\n", NULL);                                                             \
        options.weights = w_##S;                                                                  \
        options.pos_weight = (REAL)3.7;                                                           \
        options.label_smoothing = (REAL)0.1;                                                      \
        run_##S("-- " #S " with options\n", &options);                                            \
        start(), s = soft_bce_sigmoid_##S(z_##S, N, a_##S);                                       \
        hash_arrays_##S(1), finish("sigmoid", s);                                                 \
        start(), s = soft_bce_log_sigmoid_##S(z_##S, N, a_##S);                                   \
        hash_arrays_##S(1), finish("log_sigmoid", s);                                             \
        start(), s = soft_bce_softplus_##S(z_##S, N, a_##S);                                      \
        hash_arrays_##S(1), finish("softplus", s);                                                \
        start(), s = soft_bce_logit_##S(t_##S, N, a_##S, NULL);                                   \
        hash_arrays_##S(1), finish("logit", s);                                                   \
    }

BITS(float, f32)
BITS(double, f64)

static void exact_f32(void)
{
    soft_bce_options_f32 options = {0};
    soft_bce_status s;
    options.flags = SOFT_BCE_EXACT;
    run_f32("-- f32 exact\n", &options);
    start(), s = soft_bce_exact_sigmoid_f32(z_f32, N, a_f32);
    hash_arrays_f32(1), finish("sigmoid", s);
    start(), s = soft_bce_exact_log_sigmoid_f32(z_f32, N, a_f32);
    hash_arrays_f32(1), finish("log_sigmoid", s);
    start(), s = soft_bce_exact_softplus_f32(z_f32, N, a_f32);
    hash_arrays_f32(1), finish("softplus", s);
}

#define REAL float
#define NAME(name) name##_f32
#include "rows.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(name) name##_f64
#include "rows.h"

static void linear(void)
{
    soft_bce_status s;
    start(), s = hash_rows_f32(SOFT_BCE_BACKEND_AUTO, 0, &hash), finish("linear, f32", s);
    start(), s = hash_rows_f32(SOFT_BCE_BACKEND_AUTO, 1, &hash), finish("linear, f32, columns", s);
    start(), s = hash_rows_f64(SOFT_BCE_BACKEND_AUTO, 0, &hash), finish("linear, f64", s);
    start(), s = hash_rows_f64(SOFT_BCE_BACKEND_AUTO, 1, &hash), finish("linear, f64, columns", s);
}

int main(void)
{
    random_state = 0x9e3779b97f4a7c15u;
    all_f32();
    exact_f32();
    all_f64();
    linear();
    return failed;
}
