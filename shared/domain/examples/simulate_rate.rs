//! How many documents one core simulates in a second: `cargo run --release -p talea-domain --example simulate_rate -- FILE…`
//! simulates each file over and over for five seconds.

use std::io::Write;
use std::time::{Duration, Instant};
use talea_domain::simulation::simulate_line;

const SPAN: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&file)?;
        let (begin, begin_busy) = (Instant::now(), busy());
        let (mut documents, mut bytes) = (0_u128, 0_u128);
        while begin.elapsed() < SPAN {
            for _ in 0..100 {
                bytes += std::hint::black_box(simulate_line(std::hint::black_box(&text))?).len() as u128;
                documents += 1;
            }
        }
        let elapsed = begin.elapsed();
        let of_core = begin_busy.zip(busy()).map_or(elapsed, |(begin, end)| end - begin);
        let rate = |time: Duration| documents * 1_000_000 / time.as_micros().max(1);
        let (by_clock, by_core, written) = (rate(elapsed), rate(of_core), bytes / documents);
        let read = text.len();
        writeln!(
            std::io::stdout(),
            "{by_core:>7} documents per second of one core, {by_clock:>7} by the clock; {read} bytes in, {written} out: {file}"
        )?;
    }
    Ok(())
}

/// How long this thread had a core, where the system tells: others may run beside it.
fn busy() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}
