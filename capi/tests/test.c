/* Every function of soft_bce.h: values against long double, bits against each other, exact bounds
 * between guard pages, and every error. Prints what fails; exits 1 if anything does. */

#define _DEFAULT_SOURCE
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "soft_bce.h"

static unsigned long checks, failures;

static void check(int holds, const char *what, const char *file, int line)
{
    checks++;
    if (!holds && ++failures <= 50)
        printf("%s:%d: fails: %s\n", file, line, what);
}
#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)
#define OK(call) CHECK((call) == SOFT_BCE_OK)
#define REFUSED(call, status) CHECK((call) == (status))

/* An array whose last element (or, with `at_start`, first) touches memory that may not be used. */
static void *guarded(size_t bytes, int at_start)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (bytes + page - 1) / page * page;
    char *start = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + page, inner, PROT_READ | PROT_WRITE) != 0) {
        perror("mmap");
        exit(2);
    }
    return at_start ? start + page : start + page + inner - bytes;
}

static long double softplus(long double z)
{
    return (z > 0 ? z : 0) + log1pl(expl(-fabsl(z)));
}

static int close_to(double ours, long double right, long double scale, double epsilon)
{
    return fabsl((long double)ours - right) <= 4 * (long double)epsilon * scale;
}

/* A generator, so that every run is the same. */
static uint64_t state = 1;
static double uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0;
}

#define COUNT 400

#define REAL float
#define NAME(name) name##_f32
#define EPSILON 1.1920929e-7
#define HAS_EXACT 1
#define HASH 0xc03eea4dd031841fu /* tests/linear.rs has it too */
#include "elements.h"
#include "linear.h"
#undef REAL
#undef NAME
#undef EPSILON
#undef HAS_EXACT
#undef HASH

#define REAL double
#define NAME(name) name##_f64
#define EPSILON 2.220446049250313e-16
#define HAS_EXACT 0
#define HASH 0xec9f19553e248f5au
#include "elements.h"
#include "linear.h"

/* At most half a unit in the last place off, but for what long double cannot decide. */
static int rounded_correctly(float ours, long double right)
{
    long double below = nextafterf(ours, -INFINITY), above = nextafterf(ours, INFINITY);
    long double slack = fabsl(right) * 4 * 1.0842021724855044e-19L; /* 4 * 2^-63 */
    return right >= (below + ours) / 2 - slack && right <= (above + ours) / 2 + slack;
}

static void test_exact(void)
{
    static float z[COUNT], t[COUNT], loss[COUNT], g[COUNT], h[COUNT], g2[COUNT], h2[COUNT];
    soft_bce_options_f32 options = {0};
    soft_bce_loss_sum state;
    double sum = 0, again = 0, mean = 0;
    size_t i;
    unsigned differ = 0;

    options.flags = SOFT_BCE_EXACT;
    fill_f32(z, t, COUNT);
    OK(soft_bce_loss_f32(z, t, COUNT, &options, loss, NULL));
    OK(soft_bce_gradient_hessian_f32(z, t, COUNT, &options, g, h, NULL));
    OK(soft_bce_loss_sum_init(&state));
    for (i = 0; i < COUNT; i++) {
        long double x = z[i], y = t[i], e = expl(-fabsl(x)), s = 1 / (1 + expl(-x));
        long double gradient = (x < 0 ? -y : 1 - y) + (x < 0 ? e : -e) / (1 + e);
        CHECK(rounded_correctly(loss[i], y * softplus(-x) + (1 - y) * softplus(x)));
        if (fabsl(gradient) > 1e-3L * fmaxl(s, y)) /* elsewhere long double itself cancels */
            CHECK(rounded_correctly(g[i], gradient));
        CHECK(rounded_correctly(h[i], e / ((1 + e) * (1 + e))));
        OK(soft_bce_loss_sum_add(&state, loss[i]));
    }
    OK(soft_bce_loss_sum_value(&state, &again));
    OK(soft_bce_sum_f32(z, t, COUNT, &options, &sum, NULL));
    OK(soft_bce_mean_f32(z, t, COUNT, &options, &mean, NULL));
    CHECK(sum == again && fabs(mean - sum / COUNT) <= 2.3e-16 * mean);
    OK(soft_bce_sum_gradient_hessian_f32(z, t, COUNT, &options, g2, h2, &again, NULL));
    CHECK(memcmp(g, g2, sizeof g) == 0 && memcmp(h, h2, sizeof h) == 0 && again == sum);
    memcpy(g2, z, sizeof z);
    OK(soft_bce_gradient_in_place_f32(g2, t, COUNT, &options, NULL));
    CHECK(memcmp(g, g2, sizeof g) == 0);

    OK(soft_bce_exact_sigmoid_f32(z, COUNT, g));
    OK(soft_bce_exact_log_sigmoid_f32(z, COUNT, h));
    OK(soft_bce_exact_softplus_f32(z, COUNT, g2));
    OK(soft_bce_softplus_f32(z, COUNT, h2));
    for (i = 0; i < COUNT; i++) {
        CHECK(rounded_correctly(g[i], 1 / (1 + expl(-(long double)z[i]))));
        CHECK(rounded_correctly(h[i], -softplus(-(long double)z[i])));
        CHECK(rounded_correctly(g2[i], softplus(z[i])));
        differ += g2[i] != h2[i];
    }
    CHECK(differ > 0); /* the default functions would not pass */
    REFUSED(soft_bce_exact_sigmoid_f32(z, COUNT, z), SOFT_BCE_OVERLAP);
    REFUSED(soft_bce_exact_log_sigmoid_f32(NULL, COUNT, h), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_exact_softplus_f32(z, COUNT, NULL), SOFT_BCE_NULL_POINTER);
}

static void test_loss_sum(void)
{
    soft_bce_loss_sum whole, parts[3], copy;
    double value = 7;
    uint64_t count = 7;
    int i;

    OK(soft_bce_loss_sum_init(&whole));
    OK(soft_bce_loss_sum_value(&whole, &value));
    CHECK(value == 0);
    for (i = 0; i < 3; i++)
        OK(soft_bce_loss_sum_init(&parts[i]));
    for (i = 0; i < 999; i++) {
        OK(soft_bce_loss_sum_add(&whole, 1.0 / (i + 1)));
        OK(soft_bce_loss_sum_add(&parts[i % 3], 1.0 / (i + 1)));
    }
    OK(soft_bce_loss_sum_merge(&parts[2], &parts[0]));
    OK(soft_bce_loss_sum_merge(&parts[2], &parts[1]));
    CHECK(memcmp(&whole, &parts[2], sizeof whole) == 0);
    OK(soft_bce_loss_sum_count(&whole, &count));
    CHECK(count == 999);

    /* Merged with itself: twice the sum, exactly. */
    OK(soft_bce_loss_sum_value(&whole, &value));
    OK(soft_bce_loss_sum_merge(&whole, &whole));
    {
        double twice = 0;
        OK(soft_bce_loss_sum_value(&whole, &twice));
        CHECK(twice == 2 * value);
    }

    /* Ten times the double nearest 1/10, rounded once. */
    OK(soft_bce_loss_sum_init(&whole));
    for (i = 0; i < 10; i++)
        OK(soft_bce_loss_sum_add(&whole, 0.1));
    OK(soft_bce_loss_sum_value(&whole, &value));
    CHECK(value == 1.0);

    /* What is not a sum is refused and left alone. */
    memset(&copy, 0, sizeof copy);
    REFUSED(soft_bce_loss_sum_add(&copy, 1), SOFT_BCE_MALFORMED_LOSS_SUM);
    memset(&copy, 0xa5, sizeof copy);
    REFUSED(soft_bce_loss_sum_merge(&copy, &whole), SOFT_BCE_MALFORMED_LOSS_SUM);
    REFUSED(soft_bce_loss_sum_merge(&whole, &copy), SOFT_BCE_MALFORMED_LOSS_SUM);
    REFUSED(soft_bce_loss_sum_value(&copy, &value), SOFT_BCE_MALFORMED_LOSS_SUM);
    REFUSED(soft_bce_loss_sum_count(&copy, &count), SOFT_BCE_MALFORMED_LOSS_SUM);
    CHECK(copy.bytes[0] == 0xa5 && copy.bytes[287] == 0xa5);
    CHECK(value == 1.0 && count == 999);

    REFUSED(soft_bce_loss_sum_init(NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_loss_sum_add(NULL, 1), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_loss_sum_merge(NULL, &whole), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_loss_sum_merge(&whole, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_loss_sum_count(NULL, &count), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_loss_sum_count(&whole, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_loss_sum_value(NULL, &value), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_loss_sum_value(&whole, NULL), SOFT_BCE_NULL_POINTER);
    /* Pointers come before what they point at. */
    REFUSED(soft_bce_loss_sum_merge(NULL, &copy), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_loss_sum_count(&copy, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(soft_bce_loss_sum_value(&copy, NULL), SOFT_BCE_NULL_POINTER);

    /* A result inside the sum, and two sums that overlap in part. */
    {
        union {
            soft_bce_loss_sum sum;
            double value;
            uint64_t count;
            char bytes[2 * SOFT_BCE_LOSS_SUM_BYTES];
        } both;
        OK(soft_bce_loss_sum_init(&both.sum));
        REFUSED(soft_bce_loss_sum_value(&both.sum, &both.value), SOFT_BCE_OVERLAP);
        REFUSED(soft_bce_loss_sum_count(&both.sum, &both.count), SOFT_BCE_OVERLAP);
        REFUSED(soft_bce_loss_sum_merge(&both.sum, (soft_bce_loss_sum *)(void *)(both.bytes + 1)),
                SOFT_BCE_OVERLAP);
        memset(&both, 0, sizeof both);
        REFUSED(soft_bce_loss_sum_value(&both.sum, &both.value), SOFT_BCE_OVERLAP);
        REFUSED(soft_bce_loss_sum_count(&both.sum, &both.count), SOFT_BCE_OVERLAP);
    }
}

static void test_names(void)
{
    char version[32];
    int status, known = 0;

    snprintf(version, sizeof version, "%d.%d.%d", SOFT_BCE_VERSION_MAJOR, SOFT_BCE_VERSION_MINOR,
             SOFT_BCE_VERSION_PATCH);
    CHECK(strcmp(version, soft_bce_version()) == 0);
    for (status = -1; status <= 30; status++) {
        CHECK(soft_bce_status_message(status) != NULL);
        if (strcmp(soft_bce_status_message(status), "unknown status") != 0)
            known++;
    }
    CHECK(known == SOFT_BCE_MALFORMED_COLUMN_SUM + 1);
    CHECK(strcmp(soft_bce_status_message(INT32_MIN), "unknown status") == 0);
    CHECK(soft_bce_detected_backend() != SOFT_BCE_BACKEND_AUTO);
}

int main(int argc, char **argv)
{
    (void)argv;
    test_values_f32();
    test_values_f64();
    test_bounds_f32();
    test_bounds_f64();
    test_options_f32();
    test_options_f64();
    test_targets_f32();
    test_targets_f64();
    test_misuse_f32();
    test_misuse_f64();
    test_errors_f32();
    test_errors_f64();
    test_contract_f32();
    test_contract_f64();
    test_shapes_f32();
    test_shapes_f64();
    test_losses_f32();
    test_losses_f64();
    test_flags_f32();
    test_flags_f64();
    test_exact();
    test_linear_bits_f32();
    test_linear_bits_f64();
    test_linear_values_f32();
    test_linear_values_f64();
    test_linear_errors_f32();
    test_linear_errors_f64();
    test_loss_sum();
    test_names();
    printf("%lu checks, %lu failures, backend %d\n", checks, failures,
           (int)soft_bce_detected_backend());

    /* With an argument: a fault, to see that the sanitizer would find one. */
    if (argc > 1) {
        float *z = malloc(100 * sizeof *z), *t = calloc(100, sizeof *t);
        double sum = 0;
        if (z == NULL || t == NULL)
            return 2;
        memset(z, 0, 100 * sizeof *z);
        (void)soft_bce_sum_f32(z, t, 101, NULL, &sum, NULL);
        printf("not found: one element too many\n");
    }
    return failures != 0;
}
