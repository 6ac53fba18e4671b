//! CPU time of one decision, allow and deny, at growing numbers of grants, beside cedar-policy's own authorizer
//! over the same policies. `cargo run --release -p chancery-authorize --example decide`

use chancery_authorize::bench::{Bench, Naive};

/// CPU time of this thread in nanoseconds, as the kernel counts it.
fn cpu() -> Result<u64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().unwrap_or("0").parse()?)
}

/// Nanoseconds of CPU a call, the median of five rounds.
fn measure(calls: u64, mut call: impl FnMut() -> bool) -> Result<u64, Box<dyn std::error::Error>> {
    let mut rounds = Vec::new();
    for _ in 0..5 {
        let before = cpu()?;
        let allowed = (0..calls).filter(|_| call()).count();
        rounds.push((cpu()? - before) / calls);
        std::hint::black_box(allowed);
    }
    rounds.sort_unstable();
    Ok(rounds[2])
}

#[expect(clippy::print_stdout, reason = "this program's purpose is what it prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{:>8} {:>10} {:>10} {:>14} {:>14}", "grants", "allow ns", "deny ns", "naive allow ns", "naive deny ns");
    for grants in [10, 1_000, 10_000, 100_000] {
        let bench = Bench::with_grants(grants)?;
        assert!(bench.allow().allows() && !bench.deny().allows());
        let allow = measure(50_000, || bench.allow().allows())?;
        let deny = measure(50_000, || bench.deny().allows())?;
        let (mut naive_allow, mut naive_deny) = (0, 0);
        if grants <= 10_000 {
            let naive = Naive::with_grants(grants)?;
            assert!(naive.allow()? && !naive.deny()?);
            let calls = (1_000_000 / (grants as u64 + 1_000)).clamp(5, 500);
            naive_allow = measure(calls, || naive.allow().unwrap_or(false))?;
            naive_deny = measure(calls, || naive.deny().unwrap_or(false))?;
        }
        println!("{grants:>8} {allow:>10} {deny:>10} {naive_allow:>14} {naive_deny:>14}");
    }
    Ok(())
}
