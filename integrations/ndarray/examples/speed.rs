//! Mean loss and gradient against a plain ndarray expression, ns an element, by layout: a table. Then where
//! the expression fails.

use std::hint::black_box;
use std::time::Instant;

use ndarray::{Array2, ArrayRef2, ShapeBuilder, Zip, array, s};
use soft_bce_ndarray::Bce;

const ROWS: usize = 512;
const COLUMNS: usize = 512;

/// What one writes without the kernel, in a form that does not overflow.
fn plain(z: &ArrayRef2<f32>, t: &ArrayRef2<f32>, gradient: &mut ArrayRef2<f32>) -> f64 {
    let count = z.len() as f32;
    Zip::from(gradient)
        .and(z)
        .and(t)
        .for_each(|gradient, z, t| {
            *gradient = (1.0 / (1.0 + (-z).exp()) - t) / count;
        });
    let losses = Zip::from(z).and(t).fold(0.0, |sum, z, t| {
        sum + f64::from(z.max(0.0) - t * z + (-z.abs()).exp().ln_1p())
    });
    losses / f64::from(count)
}

/// The least time of `one` and of `other`, in turn, in ns an element.
fn times(mut one: impl FnMut() -> f64, mut other: impl FnMut() -> f64) -> (f64, f64) {
    let time = |run: &mut dyn FnMut() -> f64| {
        let start = Instant::now();
        black_box(run());
        start.elapsed().as_secs_f64() * 1e9 / (ROWS * COLUMNS) as f64
    };
    (0..50).fold((f64::INFINITY, f64::INFINITY), |least, _| {
        (least.0.min(time(&mut one)), least.1.min(time(&mut other)))
    })
}

fn main() {
    let target = |(row, column): (usize, usize)| ((row * 37 + column * 101) % 997) as f32 / 997.0;
    let logit = |(row, column): (usize, usize)| 12.0 * target((column, row)) - 6.0;
    let order = |columns: bool| (ROWS, COLUMNS).set_f(columns);
    let logits = [false, true].map(|columns| Array2::from_shape_fn(order(columns), logit));
    let targets = [false, true].map(|columns| Array2::from_shape_fn(order(columns), target));
    let wide_logits = Array2::from_shape_fn((ROWS, COLUMNS + 8), logit);
    let wide_targets = Array2::from_shape_fn((ROWS, COLUMNS + 8), target);
    let sparse = Array2::from_shape_fn((ROWS, 2 * COLUMNS), logit);
    let inner = s![.., 4..COLUMNS + 4];

    println!("| logits | targets | ndarray expression | soft-bce-ndarray | ratio |");
    println!("|---|---|---|---|---|");
    for (name, z, other, t) in [
        ("rows", logits[0].view(), "rows", targets[0].view()),
        ("columns", logits[1].view(), "columns", targets[1].view()),
        (
            "rows cut from wider ones",
            wide_logits.slice(inner),
            "the same",
            wide_targets.slice(inner),
        ),
        (
            "every other element",
            sparse.slice(s![.., ..;2]),
            "rows",
            targets[0].view(),
        ),
        ("rows", logits[0].view(), "columns", targets[1].view()),
    ] {
        let mut gradient = Array2::zeros(order(name == "columns"));
        let mut expected = gradient.clone();
        let (theirs, ours) = times(
            || plain(&z, &t, &mut expected),
            || {
                Bce::new()
                    .mean_gradient(&z, &t, &mut gradient)
                    .unwrap_or(f64::NAN)
            },
        );
        let apart = Zip::from(&gradient)
            .and(&expected)
            .fold(0.0_f32, |most, a, b| most.max((a - b).abs()));
        assert!(apart < 1e-9, "the gradients differ by {apart}");
        println!(
            "| {name} | {other} | {theirs:.2} | {ours:.2} | {:.1} |",
            theirs / ours
        );
    }

    let (z, t) = (array![[17.0]], array![[1.0]]);
    let [mut theirs, mut ours] = [array![[0.0]], array![[0.0]]];
    let their_loss = plain(&z, &t, &mut theirs);
    let our_loss = Bce::new().mean_gradient(&z, &t, &mut ours);
    println!(
        "logit 17, target 1: loss {their_loss:e} and gradient {} by the expression, {:e} and {:e} by the kernel",
        theirs[[0, 0]],
        our_loss.unwrap_or(f64::NAN),
        ours[[0, 0]]
    );
}
