//! Times training steps: `bench_step SIZE [steps] [threads] [arithmetic] [micro]`, one line of JSON.

use kernel::{Isa, Kernel};
use model::Arithmetic;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| args.get(i).map(|text| text.parse::<usize>()).transpose();
    let size =
        args.first().ok_or("usage: bench_step SIZE [steps] [threads] [arithmetic] [micro]")?;
    let cores = std::thread::available_parallelism()?.get();
    let kernel = Kernel::new(Isa::from_env()?, number(2)?.unwrap_or(cores));
    let arithmetic = match args.get(3) {
        None => Arithmetic::default(),
        Some(name) => {
            let named = Arithmetic::ALL.into_iter().find(|all| all.name() == name);
            named.ok_or("arithmetics are strict-1, strict-i8")?
        }
    };
    let (steps, micro) = (number(1)?.unwrap_or(5), number(4)?);
    let figures = model::bench::step_with_micro(&kernel, size, steps, arithmetic, micro);
    println!("{}", serde_json::to_string(&figures.ok_or("sizes are 1m, 10m, 50m")?)?);
    Ok(())
}
