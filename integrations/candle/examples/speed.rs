//! Mean loss and its backward pass against candle's own, in turn, by length; then logits at which
//! candle's own loss fails.

use std::time::Instant;

use candle_core::{Device, Result, Tensor, Var};
use candle_nn::loss::binary_cross_entropy_with_logit as candles_own;
use soft_bce_candle::{Options, binary_cross_entropy_with_logits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn ours(z: &Tensor, t: &Tensor) -> Result<Tensor> {
    binary_cross_entropy_with_logits(z, t, &Options::default())
}

fn main() -> Result<()> {
    for length in [1 << 10, 1 << 16, 1 << 20] {
        let at = |i: usize, step: f64| (i as f64 * step).fract() as f32;
        let z: Vec<f32> = (0..length).map(|i| 12.0 * at(i, 0.618_034) - 6.0).collect();
        let t: Vec<f32> = (0..length).map(|i| at(i, 0.414_214)).collect();
        let z = Var::from_vec(z, length, &Device::Cpu)?;
        let t = Tensor::from_vec(t, length, &Device::Cpu)?;
        let time = |loss: fn(&Tensor, &Tensor) -> Result<Tensor>| -> Result<f64> {
            let start = Instant::now();
            loss(&z, &t)?.backward()?;
            Ok(start.elapsed().as_secs_f64() * 1e6)
        };
        let mut least = [f64::INFINITY; 2];
        for _ in 0..(1 << 22) / length + 20 {
            least = [least[0].min(time(candles_own)?), least[1].min(time(ours)?)];
        }
        let [theirs, ours] = least;
        println!(
            "{length} logits: candle {theirs:.1} us, soft-bce {ours:.1} us, ratio {:.1}",
            theirs / ours
        );
    }
    for logit in [10.0_f32, 17.0, 50.0, 120.0] {
        let z = Var::new(&[logit], &Device::Cpu)?;
        let t = Tensor::new(&[0.75_f32], &Device::Cpu)?;
        let both = |loss: Tensor| -> Result<(f32, f32)> {
            let gradient = loss.backward()?.get(&z).map(|gradient| gradient.to_vec1());
            let gradient = gradient.transpose()?.unwrap_or_default();
            Ok((
                loss.to_scalar()?,
                gradient.first().copied().unwrap_or(f32::NAN),
            ))
        };
        let (theirs, ours) = (both(candles_own(&z, &t)?)?, both(ours(&z, &t)?)?);
        println!("logit {logit}: loss and gradient {theirs:?} by candle, {ours:?} by soft-bce");
    }
    Ok(())
}
