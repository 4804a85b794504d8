//! A linear model, 4,096 x 64 -> 1, fitted to soft targets. burn has no loss for these; what one
//! writes instead, from its `log_sigmoid`, is trained beside, step by step in turn.

use std::error::Error;
use std::time::Instant;

use burn::nn::loss::Reduction;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::activation::{log_sigmoid, sigmoid};
use burn::tensor::{Device, Tensor, TensorData};
use soft_bce_burn::{BinaryCrossEntropyWithLogits, BinaryCrossEntropyWithLogitsConfig};

const ROWS: usize = 4096;
const FEATURES: usize = 64;
const STEPS: usize = 500;

/// (1 − t) z − ln σ(z), as burn's own loss for integers computes it.
fn composed(z: Tensor<2>, t: Tensor<2>) -> Tensor<1> {
    ((t.neg() + 1.0) * z.clone() - log_sigmoid(z)).mean()
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::flex().autodiff();
    // Spread evenly over the cube: multiples of logarithms, modulo 1.
    let value = |row: usize, feature: usize| {
        (2.0 * (row as f64 * (feature as f64 + 2.0).ln()).fract() - 1.0) as f32
    };
    let design: Vec<f32> = (0..ROWS * FEATURES)
        .map(|i| value(i / FEATURES, i % FEATURES))
        .collect();
    let design = Tensor::<2>::from_data(TensorData::new(design, [ROWS, FEATURES]), &device);
    let teacher: Vec<f32> = (0..FEATURES).map(|feature| value(feature + 7, 1)).collect();
    let teacher = Tensor::<2>::from_data(TensorData::new(teacher, [FEATURES, 1]), &device);
    let targets = sigmoid(design.clone().matmul(teacher.clone()));

    let criterion: BinaryCrossEntropyWithLogits =
        BinaryCrossEntropyWithLogitsConfig::new().init(&device);
    let initial: Linear = LinearConfig::new(FEATURES, 1).init(&device);
    let mut models = [initial.clone(), initial];
    let mut optimizers = [SgdConfig::new().init(), SgdConfig::new().init()];
    let (mut times, mut losses) = ([Vec::new(), Vec::new()], [0.0; 2]);
    for _ in 0..STEPS {
        for which in 0..2 {
            let start = Instant::now();
            let logits = models[which].forward(design.clone());
            let loss = match which {
                0 => criterion.forward(logits, targets.clone(), Reduction::Mean)?,
                _ => composed(logits, targets.clone()),
            };
            let gradients = GradientsParams::from_grads(loss.backward(), &models[which]);
            models[which] = optimizers[which].step(1.0, models[which].clone(), gradients);
            times[which].push(start.elapsed().as_secs_f64() * 1e6);
            losses[which] = loss.into_scalar::<f32>();
        }
    }

    let apart = (models[0].weight.val() - teacher)
        .abs()
        .max()
        .into_scalar::<f32>();
    println!(
        "loss after {STEPS} steps: {} with soft-bce, {} composed",
        losses[0], losses[1]
    );
    println!("farthest weight from the teacher's: {apart}");
    let [ours, theirs] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    println!("median step: {ours:.0} us with soft-bce, {theirs:.0} us composed");
    println!("ratio: {:.2}", theirs / ours);
    if apart > 0.02 {
        return Err("the teacher was not found".into());
    }

    let z = Tensor::<2>::from_floats([[f32::INFINITY]], &device).require_grad();
    let t = Tensor::<2>::ones([1, 1], &device);
    let both = |loss: Tensor<1>| {
        let gradient = z.grad(&loss.backward()).map(Tensor::into_scalar::<f32>);
        (loss.into_scalar::<f32>(), gradient.unwrap_or(f32::NAN))
    };
    let theirs = both(composed(z.clone(), t.clone()));
    let ours = both(criterion.forward(z.clone(), t, Reduction::Mean)?);
    println!(
        "logit infinite, target 1: loss and gradient {theirs:?} composed, {ours:?} by soft-bce"
    );
    Ok(())
}
