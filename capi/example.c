/* The mean loss of two logits and its gradient; a target that is none. README.md has the commands. */
#include <soft_bce.h>
#include <stdio.h>

int main(void)
{
    float z[2] = {0.5f, -3.0f}, t[2] = {0.89f, 0.0f}, gradient[2];
    double mean;
    size_t index = 0;
    soft_bce_status status = soft_bce_mean_gradient_f32(z, t, 2, NULL, gradient, &mean, &index);
    if (status != SOFT_BCE_OK) {
        fprintf(stderr, "%s, at %zu\n", soft_bce_status_message(status), index);
        return 1;
    }
    printf("%.9f %.8f %.8f\n", mean, gradient[0], gradient[1]);
    t[1] = 1.2f;
    status = soft_bce_mean_gradient_f32(z, t, 2, NULL, gradient, &mean, &index);
    printf("%s, at %zu\n", soft_bce_status_message(status), index);
    return status != SOFT_BCE_TARGET_OUT_OF_RANGE;
}
