//! What benches tell, in words.

use ::bench::{arithmetic, inputs, loss_gap, run, swarm, train};

/// How far training apart and together is.
pub fn loss_gap_progress(progress: &loss_gap::Progress) -> String {
    use loss_gap::Progress;
    match progress {
        Progress::Prepared { parameters, tokens } => {
            format!("{parameters} parameters, {tokens} tokens of text")
        }
        Progress::Apart { round, rounds, bits_per_byte } => {
            format!("apart: round {round} of {rounds}, {bits_per_byte:.4} bits per byte")
        }
        Progress::Together { step, steps, bits_per_byte } => {
            format!("together: step {step} of {steps}, {bits_per_byte:.4} bits per byte")
        }
    }
}

/// Training apart beside training together.
pub fn loss_gap(gap: &loss_gap::LossGap) -> String {
    let loss_gap::LossGap { workers, h, rounds, tokens, parameters, non_embedding, .. } = gap;
    [
        format!("model            {parameters} parameters, {non_embedding} without the embedding"),
        format!(
            "work             {rounds} rounds, {workers} workers, {h} steps each: {tokens} tokens"
        ),
        format!("apart            {:.4} bits per byte held out", gap.apart_bits_per_byte),
        format!("together         {:.4} bits per byte held out", gap.together_bits_per_byte),
        format!("gap              {:+.1} %", gap.gap * 100.0),
    ]
    .join("\n")
}

/// How far a pair of runs is.
pub fn arithmetic_progress(progress: &arithmetic::Progress) -> String {
    use arithmetic::Progress;
    match progress {
        Progress::Begun { seed, parameters, steps, step_tokens } => {
            format!("seed {seed}: {parameters} parameters, {steps} steps of {step_tokens} tokens")
        }
        Progress::Measured { strict_1, strict_i8 } => format!(
            "{:>10} tokens: strict-1 {:.4} bits per byte in {:.0} s, strict-i8 {:.4} in {:.0} s",
            strict_1.tokens,
            strict_1.bits_per_byte,
            strict_1.seconds,
            strict_i8.bits_per_byte,
            strict_i8.seconds
        ),
        Progress::Compared(compared) => pair(compared),
    }
}

/// Integers beside floats.
pub fn pair(pair: &arithmetic::Pair) -> String {
    let last =
        |curve: &[arithmetic::Point]| curve.last().map_or(f64::NAN, |point| point.bits_per_byte);
    [
        format!("seed {}", pair.seed),
        format!("  strict-1       {:.4} bits per byte held out", last(&pair.strict_1)),
        format!("  strict-i8      {:.4} bits per byte held out", last(&pair.strict_i8)),
        format!("  equal tokens   {:+.2} %", pair.gap_at_equal_tokens * 100.0),
        format!("  equal time     {:+.2} %", pair.gap_at_equal_time * 100.0),
        format!("  speed          {:.2} x strict-1", pair.speed),
    ]
    .join("\n")
}

/// What 8-bit inputs lose.
pub fn inputs(f: &inputs::Figures) -> String {
    [
        format!("model            {}", f.model),
        format!("predicted        {} tokens", f.tokens),
        format!(
            "divergence       {:.5} on average, {:.5} in the middle, {:.4} of 99 %, {:.4} at most",
            f.mean_kl, f.median_kl, f.kl_99, f.largest_kl
        ),
        format!("same first       {:.2} %", 100.0 * f.same_first),
        format!("log-probability  differs by {:.4} on average", f.mean_difference),
        format!(
            "perplexity       {:.4} with 8-bit inputs, {:.4} with f32 inputs",
            f.perplexity_int8, f.perplexity_f32
        ),
    ]
    .join("\n")
}

/// How fast a model runs.
pub fn run(f: &run::Figures) -> String {
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let peak = f.peak_rss_mib.map_or_else(String::new, |mib| format!(", peak {mib:.0} MiB"));
    let mut lines = vec![
        format!("model            {}", f.model),
        format!("on               {} threads, {}", f.threads, f.isa),
        format!("weights          {:.0} MiB packed{peak}", mib(f.weights as f64)),
        format!("first token      {:.2} s after opening the file", f.first_token_s),
    ];
    lines.extend(f.tests.iter().map(test));
    lines.join("\n")
}

fn test(test: &run::Test) -> String {
    let run::Test { name, ours, peer } = test;
    let middle = median(ours);
    let line = format!("{name:<16} {middle:.0} tokens/s ({})", list(ours));
    if peer.is_empty() {
        return line;
    }
    let theirs = median(peer);
    format!("{line}; peer {theirs:.0} ({}): {:.2} x", list(peer), middle / theirs)
}

fn list(rates: &[f64]) -> String {
    rates.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(", ")
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What stands above the rows of [`train_row`].
pub const TRAIN_HEAD: &str =
    "size  parameters  threads  isa      tokens/s min  median     max  GFLOP/s  peak MiB";

/// The figures of one size.
pub fn train_row(figures: &train::Figures) -> String {
    let step = &figures.step;
    format!(
        "{:<4}  {:>10}  {:>7}  {:<7}  {:>12.0}  {:>6.0}  {:>6.0}  {:>7.0}  {:>8.0}",
        step.size,
        step.nonemb_params,
        step.threads,
        step.isa,
        step.tok_s_min,
        step.tok_s_median,
        step.tok_s_max,
        step.model_gflops,
        step.peak_rss_mib.unwrap_or(f64::NAN),
    )
}

/// What co-training costs.
pub fn swarm(f: &swarm::SwarmFigures) -> String {
    [
        format!(
            "model            {} parameters, {} rounds of {} steps",
            f.parameters, f.rounds, f.steps
        ),
        format!("one process      {} tokens/s", list(&f.alone_tok_s)),
        format!("{} peers          {} tokens/s", f.peers, list(&f.together_tok_s)),
        format!("after probation  {} tokens/s", list(&f.settled_tok_s)),
        format!(
            "peers / process  {:.1} %, after probation {:.1} %",
            f.share * 100.0,
            f.settled_share * 100.0
        ),
        format!(
            "update           {:.3} bytes per parameter and round",
            f.update_bytes_per_parameter
        ),
        format!(
            "sent by a peer   {:.2} bytes per parameter and round",
            f.sent_bytes_per_parameter_and_round
        ),
        format!(
            "received         {:.2} bytes per parameter and round",
            f.received_bytes_per_parameter_and_round
        ),
        format!(
            "stored           {:.2} bytes per parameter at most, beside text and first state",
            f.stored_bytes_per_parameter
        ),
        format!("auditing         {:.1} % of the work", f.auditing_share * 100.0),
    ]
    .join("\n")
}
