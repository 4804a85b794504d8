/* The tests of one element type: included with REAL, NAME, EPSILON and HAS_EXACT set. */

static void NAME(fill)(REAL *z, REAL *t, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        z[i] = (REAL)((uniform() - 0.5) * (i % 3 == 0 ? 80 : 12));
        t[i] = (REAL)uniform();
        if (i % 5 == 0)
            t[i] = (REAL)(i % 10 == 0);
    }
}

static void NAME(test_values)(void)
{
    static REAL z[COUNT], t[COUNT], loss[COUNT], g[COUNT], h[COUNT], g2[COUNT], h2[COUNT];
    static REAL loss2[COUNT];
    double sum = 0, mean = 0, again = 0;
    soft_bce_loss_sum one, other;
    size_t i;

    NAME(fill)(z, t, COUNT);
    OK(NAME(soft_bce_loss)(z, t, COUNT, NULL, loss, NULL));
    OK(NAME(soft_bce_gradient_hessian)(z, t, COUNT, NULL, g, h, NULL));
    OK(soft_bce_loss_sum_init(&one));
    OK(soft_bce_loss_sum_init(&other));
    for (i = 0; i < COUNT; i++) {
        long double x = z[i], y = t[i], s = 1 / (1 + expl(-x)), e = expl(-fabsl(x));
        long double right = (x > 0 ? x : 0) - y * x + log1pl(e);
        CHECK(close_to(loss[i], right, right, EPSILON));
        CHECK(close_to(g[i], s - y, fmaxl(s, y), EPSILON));
        CHECK(close_to(h[i], s * (1 / (1 + expl(x))), s * (1 / (1 + expl(x))), EPSILON));
        OK(soft_bce_loss_sum_add(&one, loss[i]));
    }

    /* All ways to the same sum and gradient give the same bits. */
    OK(NAME(soft_bce_accumulate)(z, t, 150, NULL, &other, NULL));
    OK(NAME(soft_bce_accumulate)(z + 150, t + 150, COUNT - 150, NULL, &other, NULL));
    CHECK(memcmp(&one, &other, sizeof one) == 0);
    OK(soft_bce_loss_sum_value(&one, &again));
    OK(NAME(soft_bce_sum)(z, t, COUNT, NULL, &sum, NULL));
    CHECK(sum == again);
    OK(NAME(soft_bce_mean)(z, t, COUNT, NULL, &mean, NULL));
    CHECK(fabs(mean - sum / COUNT) <= 2.3e-16 * mean);
    OK(NAME(soft_bce_gradient)(z, t, COUNT, NULL, g2, NULL));
    CHECK(memcmp(g, g2, sizeof g) == 0);
    memset(g2, 0, sizeof g2);
    OK(NAME(soft_bce_sum_gradient)(z, t, COUNT, NULL, g2, &again, NULL));
    CHECK(memcmp(g, g2, sizeof g) == 0 && again == sum);
    memset(g2, 0, sizeof g2);
    OK(NAME(soft_bce_sum_gradient_hessian)(z, t, COUNT, NULL, g2, h2, &again, NULL));
    CHECK(memcmp(g, g2, sizeof g) == 0 && memcmp(h, h2, sizeof h) == 0 && again == sum);
    OK(NAME(soft_bce_loss_gradient)(z, t, COUNT, NULL, loss2, g2, NULL));
    CHECK(memcmp(g, g2, sizeof g) == 0 && memcmp(loss, loss2, sizeof loss) == 0);
    memset(g2, 0, sizeof g2);
    OK(NAME(soft_bce_loss_gradient_hessian)(z, t, COUNT, NULL, loss2, g2, h2, NULL));
    CHECK(memcmp(g, g2, sizeof g) == 0 && memcmp(h, h2, sizeof h) == 0);
    CHECK(memcmp(loss, loss2, sizeof loss) == 0);
    memcpy(g2, z, sizeof z);
    OK(NAME(soft_bce_gradient_in_place)(g2, t, COUNT, NULL, NULL));
    CHECK(memcmp(g, g2, sizeof g) == 0);
    OK(NAME(soft_bce_mean_gradient)(z, t, COUNT, NULL, g2, &again, NULL));
    CHECK(again == mean);
    for (i = 0; i < COUNT; i++)
        CHECK(close_to(g2[i], (long double)g[i] / COUNT, fabsl((long double)g[i]) / COUNT, EPSILON));

    /* The slice functions. */
    OK(NAME(soft_bce_sigmoid)(z, COUNT, g));
    OK(NAME(soft_bce_log_sigmoid)(z, COUNT, h));
    OK(NAME(soft_bce_softplus)(z, COUNT, g2));
    OK(NAME(soft_bce_logit)(t, COUNT, h2, NULL));
    for (i = 0; i < COUNT; i++) {
        long double x = z[i], y = t[i], s = 1 / (1 + expl(-x));
        CHECK(close_to(g[i], s, s, EPSILON));
        CHECK(close_to(h[i], -softplus(-x), softplus(-x), EPSILON));
        CHECK(close_to(g2[i], softplus(x), softplus(x), EPSILON));
        if (y == 0 || y == 1)
            CHECK(h2[i] == (y == 0 ? -INFINITY : INFINITY));
        else
            CHECK(close_to(h2[i], logl(y) - log1pl(-y), fabsl(logl(y) - log1pl(-y)), EPSILON));
    }

    /* The limits. */
    {
        REAL zl[4] = {INFINITY, -INFINITY, INFINITY, NAN}, tl[4] = {1, 0, 0, 0}, out[4];
        OK(NAME(soft_bce_loss)(zl, tl, 4, NULL, out, NULL));
        CHECK(out[0] == 0 && out[1] == 0 && isinf(out[2]) && isnan(out[3]));
        OK(NAME(soft_bce_gradient)(zl, tl, 4, NULL, out, NULL));
        CHECK(out[0] == 0 && out[1] == 0 && out[2] == 1 && isnan(out[3]));
    }
}

/* Every length from 0 to 200, ending and starting at memory that may not be used: the same bits. */
static void NAME(test_bounds)(void)
{
    enum { LONGEST = 200 };
    REAL z[LONGEST], t[LONGEST], w[LONGEST], loss[LONGEST], g[LONGEST], h[LONGEST];
    NAME(soft_bce_options) options = {0};
    size_t n, i;
    int at_start;

    NAME(fill)(z, t, LONGEST);
    for (i = 0; i < LONGEST; i++)
        w[i] = (REAL)(1 + i % 7);
    options.weights = w;
    OK(NAME(soft_bce_loss)(z, t, LONGEST, &options, loss, NULL));
    OK(NAME(soft_bce_gradient_hessian)(z, t, LONGEST, &options, g, h, NULL));
    for (at_start = 0; at_start < 2; at_start++) {
        for (n = 0; n <= LONGEST; n++) {
            size_t bytes = n * sizeof(REAL), k, page = (size_t)sysconf(_SC_PAGESIZE);
            REAL *array[6];
            double sum = 0;
            soft_bce_loss_sum state;
            for (k = 0; k < 6; k++)
                array[k] = guarded(bytes, at_start);
            memcpy(array[0], z, bytes);
            memcpy(array[1], t, bytes);
            memcpy(array[2], w, bytes);
            options.weights = array[2];
            OK(NAME(soft_bce_loss)(array[0], array[1], n, &options, array[3], NULL));
            CHECK(memcmp(array[3], loss, bytes) == 0);
            OK(NAME(soft_bce_sum_gradient_hessian)(array[0], array[1], n, &options, array[4],
                                                   array[5], &sum, NULL));
            CHECK(memcmp(array[4], g, bytes) == 0 && memcmp(array[5], h, bytes) == 0);
            OK(soft_bce_loss_sum_init(&state));
            OK(NAME(soft_bce_accumulate)(array[0], array[1], n, &options, &state, NULL));
            {
                double again = -1;
                OK(soft_bce_loss_sum_value(&state, &again));
                CHECK(again == sum);
                OK(NAME(soft_bce_sum)(array[0], array[1], n, &options, &again, NULL));
                CHECK(again == sum);
            }
            OK(NAME(soft_bce_sigmoid)(array[0], n, array[3]));
            OK(NAME(soft_bce_log_sigmoid)(array[0], n, array[3]));
            OK(NAME(soft_bce_softplus)(array[0], n, array[3]));
            OK(NAME(soft_bce_logit)(array[1], n, array[3], NULL));
            OK(NAME(soft_bce_gradient_in_place)(array[0], array[1], n, &options, NULL));
            CHECK(memcmp(array[0], g, bytes) == 0);
            for (k = 0; k < 6; k++) {
                size_t inner = (bytes + page - 1) / page * page;
                char *start = (char *)array[k] - page - (at_start ? 0 : inner - bytes);
                CHECK(munmap(start, inner + 2 * page) == 0);
            }
        }
    }
}

static void NAME(test_options)(void)
{
    static REAL z[COUNT], t[COUNT], w[COUNT], plain[COUNT], out[COUNT];
    NAME(soft_bce_options) options = {0};
    double mean = 7, total = 0, sum = 0;
    size_t i;
    uint32_t backend, available = 0;

    NAME(fill)(z, t, COUNT);
    for (i = 0; i < COUNT; i++) {
        w[i] = (REAL)(i % 4);
        total += (double)w[i];
    }
    OK(NAME(soft_bce_loss)(z, t, COUNT, NULL, plain, NULL));
    OK(NAME(soft_bce_loss)(z, t, COUNT, &options, out, NULL));
    CHECK(memcmp(plain, out, sizeof out) == 0);

    options.weights = w;
    OK(NAME(soft_bce_loss)(z, t, COUNT, &options, out, NULL));
    for (i = 0; i < COUNT; i++)
        CHECK(close_to(out[i], (long double)plain[i] * w[i], (long double)plain[i] * w[i], EPSILON));
    OK(NAME(soft_bce_sum)(z, t, COUNT, &options, &sum, NULL));
    OK(NAME(soft_bce_mean)(z, t, COUNT, &options, &mean, NULL));
    CHECK(fabs(mean - sum / total) <= 4.5e-16 * mean);
    options.weights = NULL;

    options.pos_weight = 3;
    OK(NAME(soft_bce_loss)(z, t, COUNT, &options, out, NULL));
    for (i = 0; i < COUNT; i++) {
        long double right = 3 * (long double)t[i] * softplus(-(long double)z[i]) +
                            (1 - (long double)t[i]) * softplus(z[i]);
        CHECK(close_to(out[i], right, right, 4 * EPSILON));
    }
    options.pos_weight = 0;

    options.label_smoothing = (REAL)0.25;
    OK(NAME(soft_bce_loss)(z, t, COUNT, &options, out, NULL));
    for (i = 0; i < COUNT; i++) {
        long double y = (long double)t[i] * 0.75L + 0.125L;
        long double right = y * softplus(-(long double)z[i]) + (1 - y) * softplus(z[i]);
        CHECK(close_to(out[i], right, right + fabsl((long double)z[i]), EPSILON));
    }
    options.label_smoothing = 0;

    options.flags = SOFT_BCE_EXACT;
    REFUSED(NAME(soft_bce_loss)(z, t, COUNT, &options, out, NULL),
            HAS_EXACT ? SOFT_BCE_OK : SOFT_BCE_UNSUPPORTED_OPTIONS);
    options.label_smoothing = (REAL)0.25;
    REFUSED(NAME(soft_bce_loss)(z, t, COUNT, &options, out, NULL), SOFT_BCE_UNSUPPORTED_OPTIONS);
    options.label_smoothing = 0;

    options.flags = SOFT_BCE_EXCESS;
    OK(NAME(soft_bce_loss)(z, t, COUNT, &options, out, NULL));
    for (i = 0; i < COUNT; i++) {
        long double y = t[i];
        long double entropy = (y > 0 ? -y * logl(y) : 0) + (y < 1 ? -(1 - y) * log1pl(-y) : 0);
        long double loss = y * softplus(-(long double)z[i]) + (1 - y) * softplus(z[i]);
        CHECK(out[i] >= 0);
        CHECK(close_to(out[i], loss - entropy, loss, 4 * EPSILON));
    }
    options.label_smoothing = (REAL)0.25;
    REFUSED(NAME(soft_bce_loss)(z, t, COUNT, &options, out, NULL), SOFT_BCE_UNSUPPORTED_OPTIONS);
    options.label_smoothing = 0;
    options.flags = SOFT_BCE_EXCESS | SOFT_BCE_EXACT;
    REFUSED(NAME(soft_bce_loss)(z, t, COUNT, &options, out, NULL), SOFT_BCE_UNSUPPORTED_OPTIONS);
    options.flags = 0;

    for (backend = 0; backend <= SOFT_BCE_BACKEND_AVX512; backend++) {
        soft_bce_status status;
        options.backend = backend;
        status = NAME(soft_bce_loss)(z, t, COUNT, &options, out, NULL);
        if (status == SOFT_BCE_OK) {
            available++;
            CHECK(memcmp(plain, out, sizeof out) == 0);
        } else {
            CHECK(status == SOFT_BCE_BACKEND_UNAVAILABLE);
            CHECK(backend > SOFT_BCE_BACKEND_SCALAR);
        }
    }
    CHECK(available >= 2);

    options.backend = 5;
    REFUSED(NAME(soft_bce_sum)(z, t, COUNT, &options, &sum, NULL), SOFT_BCE_INVALID_OPTION);
    options.backend = 0;
    options.flags = 32;
    REFUSED(NAME(soft_bce_sum)(z, t, COUNT, &options, &sum, NULL), SOFT_BCE_INVALID_OPTION);
    options.flags = 0;
    options.pos_weight = -1;
    REFUSED(NAME(soft_bce_sum)(z, t, COUNT, &options, &sum, NULL), SOFT_BCE_INVALID_OPTION);
    options.pos_weight = NAN;
    REFUSED(NAME(soft_bce_sum)(z, t, COUNT, &options, &sum, NULL), SOFT_BCE_INVALID_OPTION);
    options.pos_weight = 0;
    options.label_smoothing = 2;
    REFUSED(NAME(soft_bce_sum)(z, t, COUNT, &options, &sum, NULL), SOFT_BCE_INVALID_OPTION);
    options.label_smoothing = 0;

    for (i = 0; i < COUNT; i++)
        w[i] = 0;
    options.weights = w;
    mean = 7;
    REFUSED(NAME(soft_bce_mean)(z, t, COUNT, &options, &mean, NULL), SOFT_BCE_EMPTY);
    CHECK(mean == 7);
}

/* A bad target or weight, at every place: its index, no result, an untouched buffer in place. */
static void NAME(test_targets)(void)
{
    static const double bad_targets[] = {-1e-30, 1.0000002, NAN, INFINITY, -INFINITY, -1};
    static const double bad_weights[] = {-1e-30, NAN, INFINITY, -INFINITY};
    enum { N = 300 };
    static REAL z[N], t[N], w[N], out[N], out2[N], out3[N], before[N];
    NAME(soft_bce_options) options = {0};
    soft_bce_loss_sum state, state_before;
    size_t i, bad, k;
    double result;

    NAME(fill)(z, t, N);
    for (i = 0; i < N; i++)
        w[i] = 1;
    memcpy(before, z, sizeof z);
    OK(soft_bce_loss_sum_init(&state));
    state_before = state;
    options.weights = w;
    for (i = 0; i < N; i++) {
        for (k = 0; k < 10; k++) {
            REAL *place = k < 6 ? &t[i] : &w[i], kept = *place;
            soft_bce_status expected =
                k < 6 ? SOFT_BCE_TARGET_OUT_OF_RANGE : SOFT_BCE_INVALID_WEIGHT;
            *place = (REAL)(k < 6 ? bad_targets[k] : bad_weights[k - 6]);
#define FAILS(call)                        \
    do {                                   \
        bad = N;                           \
        result = 7;                        \
        REFUSED(call, expected);           \
        CHECK(bad == i && result == 7);    \
    } while (0)
            FAILS(NAME(soft_bce_loss)(z, t, N, &options, out, &bad));
            FAILS(NAME(soft_bce_sum)(z, t, N, &options, &result, &bad));
            FAILS(NAME(soft_bce_mean)(z, t, N, &options, &result, &bad));
            FAILS(NAME(soft_bce_gradient)(z, t, N, &options, out, &bad));
            FAILS(NAME(soft_bce_gradient_in_place)(z, t, N, &options, &bad));
            CHECK(memcmp(z, before, sizeof z) == 0);
            FAILS(NAME(soft_bce_sum_gradient)(z, t, N, &options, out, &result, &bad));
            FAILS(NAME(soft_bce_mean_gradient)(z, t, N, &options, out, &result, &bad));
            FAILS(NAME(soft_bce_gradient_hessian)(z, t, N, &options, out, out2, &bad));
            FAILS(NAME(soft_bce_sum_gradient_hessian)(z, t, N, &options, out, out2, &result, &bad));
            FAILS(NAME(soft_bce_loss_gradient)(z, t, N, &options, out, out2, &bad));
            FAILS(NAME(soft_bce_loss_gradient_hessian)(z, t, N, &options, out, out2, out3, &bad));
            FAILS(NAME(soft_bce_accumulate)(z, t, N, &options, &state, &bad));
            FAILS(NAME(soft_bce_accumulate_gradient)(z, t, N, &options, &state, out, &bad));
            FAILS(NAME(soft_bce_accumulate_gradient_hessian)(z, t, N, &options, &state, out, out2,
                                                             &bad));
            CHECK(memcmp(&state, &state_before, sizeof state) == 0);
            if (k < 6)
                FAILS(NAME(soft_bce_logit)(t, N, out, &bad));
#undef FAILS
            REFUSED(NAME(soft_bce_loss)(z, t, N, &options, out, NULL), expected);
            *place = kept;
        }
    }
    bad = N;
    OK(NAME(soft_bce_loss)(z, t, N, &options, out, &bad));
    CHECK(bad == N);
    t[3] = (REAL)-0.0;
    OK(NAME(soft_bce_loss)(z, t, N, &options, out, NULL));
}

/* Wrong pointers and lengths. */
static void NAME(test_misuse)(void)
{
    enum { N = 16 };
    union {
        REAL element[8 * N];
        double result[N];
        size_t index[N];
        char bytes[1];
    } memory;
    REAL *z = memory.element, *t = z + N, *g = z + 2 * N, *h = z + 3 * N, *w = z + 4 * N;
    REAL *null = NULL;
    NAME(soft_bce_options) options = {0};
    soft_bce_loss_sum state;
    double result = 7;
    size_t i, too_many[3];

    OK(soft_bce_loss_sum_init(&state));
    for (i = 0; i < 8 * N; i++)
        memory.element[i] = 0;

    /* Nothing: arrays may be null, results not. */
    OK(NAME(soft_bce_loss)(NULL, NULL, 0, NULL, NULL, NULL));
    OK(NAME(soft_bce_sum)(NULL, NULL, 0, NULL, &result, NULL));
    CHECK(result == 0);
    OK(NAME(soft_bce_gradient)(NULL, NULL, 0, NULL, NULL, NULL));
    OK(NAME(soft_bce_gradient_in_place)(NULL, NULL, 0, NULL, NULL));
    OK(NAME(soft_bce_gradient_hessian)(NULL, NULL, 0, NULL, NULL, NULL, NULL));
    OK(NAME(soft_bce_accumulate)(NULL, NULL, 0, NULL, &state, NULL));
    OK(NAME(soft_bce_sigmoid)(NULL, 0, NULL));
    REFUSED(NAME(soft_bce_mean)(NULL, NULL, 0, NULL, &result, NULL), SOFT_BCE_EMPTY);
    REFUSED(NAME(soft_bce_mean_gradient)(NULL, NULL, 0, NULL, NULL, &result, NULL), SOFT_BCE_EMPTY);
    REFUSED(NAME(soft_bce_sum)(NULL, NULL, 0, NULL, NULL, NULL), SOFT_BCE_NULL_POINTER);

    /* Each call with the pointer `p` in each place where it is wrong. */
#define EACH(p, n, status)                                                                        \
    do {                                                                                          \
        REFUSED(NAME(soft_bce_loss)(p, t, n, NULL, g, NULL), status);                             \
        REFUSED(NAME(soft_bce_loss)(z, p, n, NULL, g, NULL), status);                             \
        REFUSED(NAME(soft_bce_loss)(z, t, n, NULL, p, NULL), status);                             \
        REFUSED(NAME(soft_bce_sum)(p, t, n, NULL, &result, NULL), status);                        \
        REFUSED(NAME(soft_bce_sum)(z, p, n, NULL, &result, NULL), status);                        \
        REFUSED(NAME(soft_bce_mean)(p, t, n, NULL, &result, NULL), status);                       \
        REFUSED(NAME(soft_bce_mean)(z, p, n, NULL, &result, NULL), status);                       \
        REFUSED(NAME(soft_bce_gradient)(p, t, n, NULL, g, NULL), status);                         \
        REFUSED(NAME(soft_bce_gradient)(z, p, n, NULL, g, NULL), status);                         \
        REFUSED(NAME(soft_bce_gradient)(z, t, n, NULL, p, NULL), status);                         \
        REFUSED(NAME(soft_bce_gradient_in_place)(p, t, n, NULL, NULL), status);                   \
        REFUSED(NAME(soft_bce_gradient_in_place)(z, p, n, NULL, NULL), status);                   \
        REFUSED(NAME(soft_bce_sum_gradient)(p, t, n, NULL, g, &result, NULL), status);            \
        REFUSED(NAME(soft_bce_sum_gradient)(z, p, n, NULL, g, &result, NULL), status);            \
        REFUSED(NAME(soft_bce_sum_gradient)(z, t, n, NULL, p, &result, NULL), status);            \
        REFUSED(NAME(soft_bce_mean_gradient)(p, t, n, NULL, g, &result, NULL), status);           \
        REFUSED(NAME(soft_bce_mean_gradient)(z, p, n, NULL, g, &result, NULL), status);           \
        REFUSED(NAME(soft_bce_mean_gradient)(z, t, n, NULL, p, &result, NULL), status);           \
        REFUSED(NAME(soft_bce_gradient_hessian)(p, t, n, NULL, g, h, NULL), status);              \
        REFUSED(NAME(soft_bce_gradient_hessian)(z, p, n, NULL, g, h, NULL), status);              \
        REFUSED(NAME(soft_bce_gradient_hessian)(z, t, n, NULL, p, h, NULL), status);              \
        REFUSED(NAME(soft_bce_gradient_hessian)(z, t, n, NULL, g, p, NULL), status);              \
        REFUSED(NAME(soft_bce_sum_gradient_hessian)(p, t, n, NULL, g, h, &result, NULL), status); \
        REFUSED(NAME(soft_bce_sum_gradient_hessian)(z, p, n, NULL, g, h, &result, NULL), status); \
        REFUSED(NAME(soft_bce_sum_gradient_hessian)(z, t, n, NULL, p, h, &result, NULL), status); \
        REFUSED(NAME(soft_bce_sum_gradient_hessian)(z, t, n, NULL, g, p, &result, NULL), status); \
        REFUSED(NAME(soft_bce_loss_gradient)(z, t, n, NULL, p, h, NULL), status);                 \
        REFUSED(NAME(soft_bce_loss_gradient)(z, t, n, NULL, g, p, NULL), status);                 \
        REFUSED(NAME(soft_bce_loss_gradient_hessian)(z, t, n, NULL, g, h, p, NULL), status);      \
        REFUSED(NAME(soft_bce_accumulate)(p, t, n, NULL, &state, NULL), status);                  \
        REFUSED(NAME(soft_bce_accumulate)(z, p, n, NULL, &state, NULL), status);                  \
        REFUSED(NAME(soft_bce_accumulate_gradient)(z, t, n, NULL, &state, p, NULL), status);      \
        REFUSED(NAME(soft_bce_accumulate_gradient_hessian)(z, t, n, NULL, &state, g, p, NULL),    \
                status);                                                                          \
        REFUSED(NAME(soft_bce_loss_sum_add_slice)(&state, p, n), status);                         \
        REFUSED(NAME(soft_bce_sigmoid)(p, n, g), status);                                         \
        REFUSED(NAME(soft_bce_sigmoid)(z, n, p), status);                                         \
        REFUSED(NAME(soft_bce_log_sigmoid)(p, n, g), status);                                     \
        REFUSED(NAME(soft_bce_log_sigmoid)(z, n, p), status);                                     \
        REFUSED(NAME(soft_bce_softplus)(p, n, g), status);                                        \
        REFUSED(NAME(soft_bce_softplus)(z, n, p), status);                                        \
        REFUSED(NAME(soft_bce_probability_loss)(p, t, n, g, NULL), status);                       \
        REFUSED(NAME(soft_bce_probability_loss)(z, t, n, p, NULL), status);                       \
        REFUSED(NAME(soft_bce_probability_gradient)(z, p, n, g, NULL), status);                   \
        REFUSED(NAME(soft_bce_probability_sum)(z, p, n, &result, NULL), status);                  \
        REFUSED(NAME(soft_bce_probability_mean)(p, t, n, &result, NULL), status);                 \
        REFUSED(NAME(soft_bce_logit)(p, n, g, NULL), status);                                     \
        REFUSED(NAME(soft_bce_logit)(z, n, p, NULL), status);                                     \
    } while (0)

    EACH(null, N, SOFT_BCE_NULL_POINTER);
    {
        /* Made from an integer: a cast of the pointer itself is undefined in C. */
        REAL *crooked = (REAL *)((uintptr_t)(void *)w + 1);
        EACH(crooked, N, SOFT_BCE_MISALIGNED);
        options.weights = crooked;
        REFUSED(NAME(soft_bce_loss)(z, t, N, &options, g, NULL), SOFT_BCE_MISALIGNED);
    }
    too_many[0] = SIZE_MAX;
    too_many[1] = SIZE_MAX / sizeof(REAL) + 2;     /* wraps to a small size */
    too_many[2] = SIZE_MAX / sizeof(REAL) / 2 + 1; /* half of the address space */
    for (i = 0; i < 3; i++)
        EACH(w, too_many[i], SOFT_BCE_LENGTH_OVERFLOW);

    options.weights = w;
    REFUSED(NAME(soft_bce_sum)(z, t, N, &options, NULL, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_mean)(z, t, N, NULL, NULL, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_sum_gradient)(z, t, N, NULL, g, NULL, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_mean_gradient)(z, t, N, NULL, g, NULL, NULL), SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_sum_gradient_hessian)(z, t, N, NULL, g, h, NULL, NULL),
            SOFT_BCE_NULL_POINTER);
    REFUSED(NAME(soft_bce_accumulate)(z, t, N, NULL, NULL, NULL), SOFT_BCE_NULL_POINTER);

    /* Overlap: with each input, by one element and wholly, with weights, results and options. */
    {
        REAL *over[] = {z, z + N - 1, t, t + N - 1, t + 1};
        for (i = 0; i < sizeof over / sizeof *over; i++) {
            REFUSED(NAME(soft_bce_loss)(z, t, N, NULL, over[i], NULL), SOFT_BCE_OVERLAP);
            REFUSED(NAME(soft_bce_gradient)(z, t, N, NULL, over[i], NULL), SOFT_BCE_OVERLAP);
            REFUSED(NAME(soft_bce_gradient_hessian)(z, t, N, NULL, g, over[i], NULL),
                    SOFT_BCE_OVERLAP);
        }
    }
    REFUSED(NAME(soft_bce_loss)(z, t, N, &options, w + 1, NULL), SOFT_BCE_OVERLAP);
    REFUSED(NAME(soft_bce_gradient_hessian)(z, t, N, NULL, g, g, NULL), SOFT_BCE_OVERLAP);
    REFUSED(NAME(soft_bce_loss_gradient)(z, t, N, NULL, g, g + 1, NULL), SOFT_BCE_OVERLAP);
    REFUSED(NAME(soft_bce_loss_gradient_hessian)(z, t, N, &options, g, h, w, NULL), SOFT_BCE_OVERLAP);
    REFUSED(NAME(soft_bce_gradient_hessian)(z, t, N, NULL, g, g + 1, NULL), SOFT_BCE_OVERLAP);
    REFUSED(NAME(soft_bce_gradient_in_place)(z, z, N, NULL, NULL), SOFT_BCE_OVERLAP);
    REFUSED(NAME(soft_bce_gradient_in_place)(t, t - 1, N, NULL, NULL), SOFT_BCE_OVERLAP);
    REFUSED(NAME(soft_bce_sigmoid)(z, N, z), SOFT_BCE_OVERLAP);
    REFUSED(NAME(soft_bce_softplus)(z + 1, N, z), SOFT_BCE_OVERLAP);
    REFUSED(NAME(soft_bce_sum)(z, t, N, NULL, &memory.result[0], NULL), SOFT_BCE_OVERLAP);
    REFUSED(NAME(soft_bce_sum)(z, t, N, NULL, &result, &memory.index[0]), SOFT_BCE_OVERLAP);

    /* What may be shared: inputs. What only touches does not overlap. */
    OK(NAME(soft_bce_loss)(z, z, N, NULL, g, NULL));
    OK(NAME(soft_bce_loss)(z + N, z + 3 * N, N, NULL, g, NULL));
    options.weights = z;
    OK(NAME(soft_bce_loss)(z, z, N, &options, g, NULL));
#undef EACH
}

/* Whether all are NaN, which a comparison with itself tells. */
static int NAME(all_nan)(const REAL *of, size_t n)
{
    size_t i;
    for (i = 0; i < n && of[i] != of[i]; i++)
        ;
    return i == n;
}

/* After an error of options, sums, emptiness or elements every output is NaN, and a buffer in place
 * and a sum are as they were; after one of pointers outputs are as they were. */
static void NAME(test_errors)(void)
{
    enum { N = 70, KINDS = 8 };
    static REAL z[N], t[N], w[N], a[N], b[N], c[N], before[N];
    soft_bce_loss_sum state, bytes;
    double result = 7;
    size_t i, kind;

    for (kind = 0; kind < KINDS; kind++) {
        NAME(soft_bce_options) options = {0};
        soft_bce_status expected = SOFT_BCE_INVALID_OPTION;
        NAME(fill)(z, t, N);
        OK(soft_bce_loss_sum_init(&state));
        for (i = 0; i < N; i++)
            w[i] = 1;
        options.weights = w;
        switch (kind) {
        case 0: options.pos_weight = -1; break;
        case 1: options.label_smoothing = 2; break;
        case 2: options.target_tolerance = -1; break;
        case 3: options.flags = 32; break;
        case 4: options.backend = 5; break;
        case 5:
            options.flags = SOFT_BCE_EXACT | SOFT_BCE_EXCESS;
            expected = SOFT_BCE_UNSUPPORTED_OPTIONS;
            break;
        case 6:
            t[N / 2] = 2;
            expected = SOFT_BCE_TARGET_OUT_OF_RANGE;
            break;
        default:
            w[N - 1] = -1;
            expected = SOFT_BCE_INVALID_WEIGHT;
        }
        bytes = state;
        memcpy(before, z, sizeof z);
#define FAILS(outputs, call)                                               \
    do {                                                                   \
        for (i = 0; i < N; i++)                                            \
            a[i] = b[i] = 7;                                               \
        REFUSED(call, expected);                                           \
        CHECK((outputs) < 1 || NAME(all_nan)(a, N));                       \
        CHECK((outputs) < 2 ? b[0] == 7 : NAME(all_nan)(b, N));            \
        CHECK(memcmp(&state, &bytes, sizeof state) == 0 && result == 7);   \
        CHECK(memcmp(z, before, sizeof z) == 0);                           \
    } while (0)
        FAILS(1, NAME(soft_bce_loss)(z, t, N, &options, a, NULL));
        FAILS(0, NAME(soft_bce_sum)(z, t, N, &options, &result, NULL));
        FAILS(0, NAME(soft_bce_mean)(z, t, N, &options, &result, NULL));
        FAILS(1, NAME(soft_bce_gradient)(z, t, N, &options, a, NULL));
        FAILS(0, NAME(soft_bce_gradient_in_place)(z, t, N, &options, NULL));
        FAILS(1, NAME(soft_bce_sum_gradient)(z, t, N, &options, a, &result, NULL));
        FAILS(1, NAME(soft_bce_mean_gradient)(z, t, N, &options, a, &result, NULL));
        FAILS(2, NAME(soft_bce_gradient_hessian)(z, t, N, &options, a, b, NULL));
        FAILS(2, NAME(soft_bce_sum_gradient_hessian)(z, t, N, &options, a, b, &result, NULL));
        FAILS(2, NAME(soft_bce_loss_gradient)(z, t, N, &options, a, b, NULL));
        FAILS(2, NAME(soft_bce_loss_gradient_hessian)(z, t, N, &options, a, b, c, NULL));
        CHECK(NAME(all_nan)(c, N));
        FAILS(0, NAME(soft_bce_accumulate)(z, t, N, &options, &state, NULL));
        FAILS(1, NAME(soft_bce_accumulate_gradient)(z, t, N, &options, &state, a, NULL));
        FAILS(2, NAME(soft_bce_accumulate_gradient_hessian)(z, t, N, &options, &state, a, b, NULL));
        if (kind == 6)
            FAILS(1, NAME(soft_bce_logit)(t, N, a, NULL));
    }
    /* Nothing to divide by, and no sum to add to. */
    {
        NAME(soft_bce_options) options = {0};
        soft_bce_status expected = SOFT_BCE_EMPTY;
        NAME(fill)(z, t, N);
        memcpy(before, z, sizeof z);
        for (i = 0; i < N; i++)
            w[i] = i % 2 == 0 ? 0 : -(REAL)0;
        options.weights = w;
        FAILS(1, NAME(soft_bce_mean_gradient)(z, t, N, &options, a, &result, NULL));
        memset(&state, 0xa5, sizeof state);
        bytes = state;
        expected = SOFT_BCE_MALFORMED_LOSS_SUM;
        FAILS(0, NAME(soft_bce_accumulate)(z, t, N, &options, &state, NULL));
        FAILS(1, NAME(soft_bce_accumulate_gradient)(z, t, N, &options, &state, a, NULL));
        FAILS(2, NAME(soft_bce_accumulate_gradient_hessian)(z, t, N, &options, &state, a, b, NULL));
        REFUSED(NAME(soft_bce_loss_sum_add_slice)(&state, z, N), expected);
        /* Before targets, after options and lengths. */
        t[0] = 2;
        FAILS(1, NAME(soft_bce_accumulate_gradient)(z, t, N, &options, &state, a, NULL));
        for (kind = 0; kind < 4; kind++) {
            options.pos_weight = kind == 0 ? -1 : 0;
            expected = SOFT_BCE_INVALID_OPTION;
            if (kind == 1) {
                options.flags = SOFT_BCE_EXCESS;
                options.label_smoothing = (REAL)0.5;
                expected = SOFT_BCE_UNSUPPORTED_OPTIONS;
            } else if (kind == 2) {
                options.flags = 0;
                options.row_weights = w;
                options.row_count = N - 1;
                expected = SOFT_BCE_LENGTH_MISMATCH;
            } else if (kind == 3) {
                options.row_weights = z;
                options.row_count = N;
                z[0] = before[0] = -1;
                expected = SOFT_BCE_INVALID_ROW_WEIGHT;
            }
            FAILS(0, NAME(soft_bce_accumulate)(z, t, N, &options, &state, NULL));
            FAILS(1, NAME(soft_bce_accumulate_gradient)(z, t, N, &options, &state, a, NULL));
            FAILS(2, NAME(soft_bce_accumulate_gradient_hessian)(z, t, N, &options, &state, a, b, NULL));
        }
    }
#undef FAILS
    for (i = 0; i < N; i++)
        a[i] = 7;
    REFUSED(NAME(soft_bce_gradient)(z, NULL, N, NULL, a, NULL), SOFT_BCE_NULL_POINTER);
    CHECK(a[0] == 7 && a[N - 1] == 7);
}

/* Masks, weights of -0, totals beyond the range, tolerance, limits, sums of arrays. */
static void NAME(test_contract)(void)
{
    enum { N = 4 };
    static const REAL zero[N] = {0, 0, 0, 0}, half[N] = {(REAL)0.5, (REAL)0.5, (REAL)0.5, (REAL)0.5};
    REAL z[N] = {0, 0, NAN, 0}, t[N] = {(REAL)0.5, 255, NAN, (REAL)0.5}, w[N] = {1, -(REAL)0, 0, 1};
    REAL g[N], a[N], b[N], huge = sizeof(REAL) == 4 ? (REAL)1e38 : (REAL)1e308;
    NAME(soft_bce_options) options = {0};
    soft_bce_loss_sum state, again;
    double mean = 7, ln2 = 0.69314718055994531, sum = 7;
    size_t i;

    options.weights = w;
    OK(NAME(soft_bce_mean_gradient)(z, t, N, &options, g, &mean, NULL));
    CHECK(close_to(mean, ln2, ln2, EPSILON));
    for (i = 0; i < N; i++)
        CHECK(g[i] == 0 && !signbit(g[i]));

    for (i = 0; i < N; i++) {
        w[i] = huge;
        z[i] = sizeof(REAL) == 4 ? 0 : 40;
    }
    OK(NAME(soft_bce_mean_gradient)(z, zero, N, &options, g, &mean, NULL));
    CHECK(close_to(mean, sizeof(REAL) == 4 ? ln2 : 40, 40, EPSILON));
    CHECK(close_to(g[0], sizeof(REAL) == 4 ? 0.125 : 0.25, 0.25, EPSILON));

    options.weights = NULL;
    options.target_tolerance = (REAL)1e-6;
    t[0] = (REAL)(1 + 2 * EPSILON);
    t[1] = (REAL)-1e-9;
    t[2] = t[3] = 1;
    OK(NAME(soft_bce_sum)(zero, t, N, &options, &sum, NULL));
    REFUSED(NAME(soft_bce_sum)(zero, t, N, NULL, &sum, NULL), SOFT_BCE_TARGET_OUT_OF_RANGE);
    options.target_tolerance = 0;

    /* p t underflows, and is not 0. */
    options.pos_weight = sizeof(REAL) == 4 ? (REAL)1e-20 : (REAL)1e-300;
    z[0] = -INFINITY;
    t[0] = sizeof(REAL) == 4 ? (REAL)1e-30 : (REAL)1e-300;
    OK(NAME(soft_bce_loss)(z, t, 1, &options, a, NULL));
    CHECK(a[0] == (REAL)INFINITY);
    options.pos_weight = 0;

    OK(soft_bce_loss_sum_init(&state));
    OK(soft_bce_loss_sum_init(&again));
    OK(NAME(soft_bce_accumulate_gradient_hessian)(half, half, N, NULL, &state, a, b, NULL));
    OK(NAME(soft_bce_accumulate_gradient)(half, half, N, NULL, &again, g, NULL));
    CHECK(memcmp(&state, &again, sizeof state) == 0 && memcmp(a, g, sizeof a) == 0 && b[0] > 0);
    OK(NAME(soft_bce_loss)(half, half, N, NULL, g, NULL));
    OK(soft_bce_loss_sum_init(&again));
    OK(NAME(soft_bce_loss_sum_add_slice)(&again, g, N));
    CHECK(memcmp(&state, &again, sizeof state) == 0);
    g[1] = -g[1];
    OK(NAME(soft_bce_loss_sum_add_slice)(&again, g, 2));
    CHECK(memcmp(&state, &again, sizeof state) != 0);
    OK(soft_bce_loss_sum_value(&again, &mean));
    OK(soft_bce_loss_sum_value(&state, &sum));
    CHECK(mean == sum);
}

/* Three rows of two classes: PyTorch's numbers, and what is wrong with weights of rows and classes. */
static void NAME(test_shapes)(void)
{
    enum { N = 6 };
    REAL z[N] = {(REAL)0.5, -1, 2, (REAL)0.25, (REAL)-0.75, (REAL)1.5};
    REAL t[N] = {1, 0, (REAL)0.3, 1, 0, (REAL)0.9};
    REAL rows[3] = {1, 2, 0}, classes[2] = {3, 10}, w[N] = {1, 1, 2, 2, 0, 0}, a[N], b[N];
    NAME(soft_bce_options) options = {0}, plain = {0};
    double mean = 7, again = 7;
    size_t bad = N;

    options.pos_weights = classes;
    options.class_count = 2;
    OK(NAME(soft_bce_mean)(z, t, N, &options, &mean, NULL));
    CHECK(close_to(mean, 1.911283915379L, 1.911283915379L, EPSILON > 1e-9 ? EPSILON : 1e-12));

    options.row_weights = rows;
    options.row_count = 3;
    plain.pos_weights = classes;
    plain.class_count = 2;
    plain.weights = w;
    OK(NAME(soft_bce_mean_gradient)(z, t, N, &options, a, &mean, NULL));
    OK(NAME(soft_bce_mean_gradient)(z, t, N, &plain, b, &again, NULL));
    CHECK(mean == again && memcmp(a, b, sizeof a) == 0);

    options.class_count = 4;
    REFUSED(NAME(soft_bce_loss)(z, t, N, &options, a, &bad), SOFT_BCE_LENGTH_MISMATCH);
    CHECK(bad == N && NAME(all_nan)(a, N));
    options.class_count = 2;
    rows[1] = -1;
    REFUSED(NAME(soft_bce_loss)(z, t, N, &options, a, &bad), SOFT_BCE_INVALID_ROW_WEIGHT);
    CHECK(bad == 1);
    classes[0] = 0;
    REFUSED(NAME(soft_bce_loss)(z, t, N, &options, a, &bad), SOFT_BCE_INVALID_POS_WEIGHT);
    CHECK(bad == 0);
    REFUSED(NAME(soft_bce_loss)(z, t, N, &options, rows, &bad), SOFT_BCE_OVERLAP);
    REFUSED(NAME(soft_bce_loss)(z, t, N, &options, classes, &bad), SOFT_BCE_OVERLAP);
    options.row_count = SIZE_MAX;
    REFUSED(NAME(soft_bce_loss)(z, t, N, &options, a, &bad), SOFT_BCE_LENGTH_OVERFLOW);
}

/* Temperature, targets as logits, other losses and probabilities, against their formulas. */
static void NAME(test_losses)(void)
{
    static REAL z[COUNT], t[COUNT], u[COUNT], p[COUNT], a[COUNT], g[COUNT], h[COUNT];
    NAME(soft_bce_options) options = {0};
    double sum = 7, mean = 7;
    size_t i, bad = COUNT;

    NAME(fill)(z, t, COUNT);
    options.temperature = 2;
    OK(NAME(soft_bce_loss_gradient_hessian)(z, t, COUNT, &options, a, g, h, NULL));
    for (i = 0; i < COUNT; i++) {
        long double x = (long double)z[i] / 2, y = t[i], s = 1 / (1 + expl(-x));
        CHECK(close_to(a[i], y * softplus(-x) + (1 - y) * softplus(x), fabsl(x) + 1, EPSILON));
        CHECK(close_to(g[i], (s - y) / 2, fmaxl(s, y), EPSILON));
        CHECK(close_to(h[i], s * (1 - s) / 4, s, EPSILON));
    }
    options.temperature = -1;
    REFUSED(NAME(soft_bce_loss)(z, t, COUNT, &options, a, NULL), SOFT_BCE_INVALID_OPTION);
    options.temperature = 0;

    options.flags = SOFT_BCE_LOGIT_TARGETS;
    for (i = 0; i < COUNT; i++)
        u[i] = (REAL)(z[i] + (REAL)(uniform() - 0.5));
    OK(NAME(soft_bce_gradient)(z, u, COUNT, &options, g, NULL));
    options.flags |= SOFT_BCE_EXCESS;
    OK(NAME(soft_bce_loss)(z, u, COUNT, &options, a, NULL));
    for (i = 0; i < COUNT; i++) {
        long double x = z[i], v = u[i], s = 1 / (1 + expl(-x)), r = 1 / (1 + expl(-v));
        long double far = r * (softplus(-x) - softplus(-v)) + (1 - r) * (softplus(x) - softplus(v));
        /* The difference of the small ones. */
        long double right = x > 0 ? 1 / (1 + expl(v)) - 1 / (1 + expl(x)) : s - r;
        CHECK(close_to(g[i], right, 1 / (1 + expl(fabsl(x))), 4 * EPSILON));
        CHECK(a[i] >= 0 && close_to(a[i], far, fabsl(x) + 1, EPSILON));
    }
    u[3] = NAN;
    REFUSED(NAME(soft_bce_loss)(z, u, COUNT, &options, a, &bad), SOFT_BCE_TARGET_OUT_OF_RANGE);
    CHECK(bad == 3);
    options.pos_weight = 2;
    REFUSED(NAME(soft_bce_loss)(z, u, COUNT, &options, a, NULL), SOFT_BCE_UNSUPPORTED_OPTIONS);
    options.pos_weight = 0;

    options.flags = SOFT_BCE_SQUARED_ERROR;
    OK(NAME(soft_bce_loss_gradient)(z, t, COUNT, &options, a, g, NULL));
    for (i = 0; i < COUNT; i++) {
        long double s = 1 / (1 + expl(-(long double)z[i])), d = s - t[i];
        CHECK(close_to(a[i], d * d, fmaxl(s, t[i]), EPSILON));
        CHECK(close_to(g[i], 2 * d * s * (1 - s), fmaxl(s, t[i]), EPSILON));
    }
    options.flags |= SOFT_BCE_FOCAL;
    REFUSED(NAME(soft_bce_loss)(z, t, COUNT, &options, a, NULL), SOFT_BCE_UNSUPPORTED_OPTIONS);
    options.flags = SOFT_BCE_FOCAL;
    options.beta = 2;
    OK(NAME(soft_bce_loss)(z, t, COUNT, &options, a, NULL));
    for (i = 0; i < COUNT; i++) {
        long double x = z[i], s = 1 / (1 + expl(-x)), d = s - t[i];
        long double loss = t[i] * softplus(-x) + (1 - t[i]) * softplus(x);
        CHECK(close_to(a[i], d * d * loss, loss * fmaxl(s, t[i]), 2 * EPSILON));
    }
    REFUSED(NAME(soft_bce_gradient_hessian)(z, t, COUNT, &options, g, h, NULL),
            SOFT_BCE_UNSUPPORTED_OPTIONS);

    for (i = 0; i < COUNT; i++)
        p[i] = (REAL)(0.01 + 0.98 * uniform());
    OK(NAME(soft_bce_probability_loss)(t, p, COUNT, a, NULL));
    OK(NAME(soft_bce_probability_gradient)(t, p, COUNT, g, NULL));
    OK(NAME(soft_bce_probability_sum)(t, p, COUNT, &sum, NULL));
    OK(NAME(soft_bce_probability_mean)(t, p, COUNT, &mean, NULL));
    CHECK(fabs(mean - sum / COUNT) <= 2.3e-16 * mean);
    for (i = 0; i < COUNT; i++) {
        long double y = t[i], q = p[i], right = -y * logl(q) - (1 - y) * log1pl(-q);
        CHECK(close_to(a[i], right, right, EPSILON));
        CHECK(close_to(g[i], (q - y) / (q * (1 - q)), 1 / (q * (1 - q)), EPSILON));
        sum -= a[i];
    }
    CHECK(fabs(sum) < 1e-9);
    p[5] = 2;
    REFUSED(NAME(soft_bce_probability_loss)(t, p, COUNT, a, &bad),
            SOFT_BCE_PROBABILITY_OUT_OF_RANGE);
    CHECK(bad == 5 && NAME(all_nan)(a, COUNT));
    REFUSED(NAME(soft_bce_probability_mean)(NULL, NULL, 0, &mean, NULL), SOFT_BCE_EMPTY);
}

/* Flags that a call raises besides FE_INEXACT. */
static int NAME(raised)(const REAL *z, const REAL *t, const NAME(soft_bce_options) *options)
{
    static REAL a[COUNT], b[COUNT];
    double sum = 0;
    soft_bce_loss_sum state;
    int flags;
    OK(soft_bce_loss_sum_init(&state));
    feclearexcept(FE_ALL_EXCEPT);
    OK(NAME(soft_bce_loss)(z, t, COUNT, options, a, NULL));
    OK(NAME(soft_bce_sum_gradient_hessian)(z, t, COUNT, options, a, b, &sum, NULL));
    OK(NAME(soft_bce_gradient)(z, t, 3, options, a, NULL));
    OK(NAME(soft_bce_mean)(z, t, COUNT, options, &sum, NULL));
    OK(NAME(soft_bce_accumulate)(z, t, COUNT, options, &state, NULL));
    OK(NAME(soft_bce_sigmoid)(z, COUNT, a));
    OK(NAME(soft_bce_log_sigmoid)(z, COUNT, a));
    OK(NAME(soft_bce_softplus)(z, COUNT, a));
    flags = fetestexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW);
    feclearexcept(FE_ALL_EXCEPT);
    return flags;
}

static void NAME(test_flags)(void)
{
    static REAL z[COUNT], t[COUNT], w[COUNT];
    NAME(soft_bce_options) options = {0};
    uint32_t backend;
    size_t i, k;

    for (backend = 0; backend <= SOFT_BCE_BACKEND_AVX512; backend++) {
        static const double widths[] = {1, 10, 40, 0};
        options.backend = backend;
        if (NAME(soft_bce_loss)(z, t, 1, &options, w, NULL) != SOFT_BCE_OK)
            continue;
        for (k = 0; k < 4; k++) {
            /* Emulated FMA of double makes subnormal parts from |z| = 300 on. */
            double of_double = backend == SOFT_BCE_BACKEND_WIDE ? 200 : 640;
            double width = widths[k] > 0 ? widths[k] : sizeof(REAL) == 4 ? 86 : of_double;
            for (i = 0; i < COUNT; i++) {
                z[i] = (REAL)((2 * uniform() - 1) * width);
                t[i] = (REAL)(i % 5 == 0 ? 0 : i % 5 == 1 ? 1 : uniform());
                w[i] = (REAL)(1 + i % 7);
            }
            z[0] = 0;
            z[1] = (REAL)width;
            z[2] = (REAL)-width;
            CHECK(NAME(raised)(z, t, &options) == 0);
            options.weights = w;
            CHECK(NAME(raised)(z, t, &options) == 0);
            options.pos_weight = 3;
            options.label_smoothing = (REAL)0.1;
            CHECK(NAME(raised)(z, t, &options) == 0);
            options.pos_weight = options.label_smoothing = 0;
            options.weights = NULL;
        }
    }
    /* And the test sees flags: a zero of sigmoid is an underflow, by IEEE 754. */
    feclearexcept(FE_ALL_EXCEPT);
    CHECK(fetestexcept(FE_ALL_EXCEPT) == 0);
    feraiseexcept(FE_UNDERFLOW);
    CHECK(fetestexcept(FE_UNDERFLOW) != 0);
    feclearexcept(FE_ALL_EXCEPT);
}
