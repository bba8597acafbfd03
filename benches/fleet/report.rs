//! Figures as text and CSV, and how cost grows with size.

use std::fmt::Write as _;
use std::time::Duration;

/// One line of the report.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) agents: usize,
    pub(crate) nodes: usize,
    pub(crate) what: String,
    pub(crate) spread: Spread,
    /// A second, of requests that were made many at once.
    pub(crate) rate: Option<f64>,
    /// The controller's, in seconds for each request.
    pub(crate) processor: Option<f64>,
    /// The controller's memory after that, in bytes.
    pub(crate) resident: u64,
    /// The most it had so far, in bytes.
    pub(crate) peak: u64,
}

/// How long things took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Spread {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let last = times.len().saturating_sub(1);
        let at = |percent: usize| {
            let at = (last * percent).div_ceil(100);
            times.get(at).copied().unwrap_or_default()
        };
        Self {
            count: times.len(),
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

pub(crate) const HEAD: &str = "agents nodes  what                                       n      p50 ms      p99 ms      max ms   a second  CPU ms each    MB  peak MB";

impl Figure {
    /// Under [`HEAD`].
    pub(crate) fn line(&self) -> String {
        let Spread {
            count,
            p50,
            p99,
            max,
        } = self.spread;
        let rate = self.rate.map(|rate| format!("{rate:.0}"));
        let processor = self.processor.map(|secs| format!("{:.2}", secs * 1e3));
        format!(
            "{:6} {:5}  {:<38} {count:5} {:11.3} {:11.3} {:11.3} {:>10} {:>12} {:5.0} {:8.0}",
            self.agents,
            self.nodes,
            self.what,
            millis(p50),
            millis(p99),
            millis(max),
            rate.unwrap_or_default(),
            processor.unwrap_or_default(),
            megabytes(self.resident),
            megabytes(self.peak),
        )
    }
}

/// All of them, with a line of names; times in milliseconds, memory in millions of bytes.
pub(crate) fn csv(figures: &[Figure]) -> String {
    let mut text = "agents,nodes,what,count,p50_ms,p99_ms,max_ms,per_second,\
        processor_ms_each,resident_mb,peak_mb\n"
        .to_owned();
    for figure in figures {
        let Spread {
            count,
            p50,
            p99,
            max,
        } = figure.spread;
        let _ = writeln!(
            text,
            "{},{},\"{}\",{count},{:.3},{:.3},{:.3},{},{},{:.1},{:.1}",
            figure.agents,
            figure.nodes,
            figure.what,
            millis(p50),
            millis(p99),
            millis(max),
            optional(figure.rate),
            optional(figure.processor.map(|secs| secs * 1e3)),
            megabytes(figure.resident),
            megabytes(figure.peak),
        );
    }
    text
}

/// `e` in cost = c · size^e that fits best, by least squares of the logarithms. `None` with fewer
/// than two sizes.
pub(crate) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs = points
        .iter()
        .filter(|(size, cost)| *size > 0.0 && *cost > 0.0);
    let logs: Vec<(f64, f64)> = logs.map(|(size, cost)| (size.ln(), cost.ln())).collect();
    let count = logs.len() as f64;
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / count;
    let x = mean(&mut logs.iter().map(|(x, _)| *x));
    let y = mean(&mut logs.iter().map(|(_, y)| *y));
    let spread: f64 = logs.iter().map(|(a, _)| (a - x).powi(2)).sum();
    let slope: f64 = logs.iter().map(|(a, b)| (a - x) * (b - y)).sum();
    (logs.len() > 1 && spread > 0.0).then(|| slope / spread)
}

/// The exponents of the number of agents, for each thing and each number of nodes.
pub(crate) fn exponents(figures: &[Figure]) -> String {
    let mut kinds: Vec<(&str, usize)> = figures
        .iter()
        .map(|figure| (figure.what.as_str(), figure.nodes))
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut text = String::new();
    for (what, nodes) in kinds {
        let same = figures.iter();
        let same = same.filter(|figure| figure.what == what && figure.nodes == nodes);
        let points: Vec<(f64, f64)> = same
            .map(|figure| (figure.agents as f64, millis(figure.spread.p50)))
            .collect();
        if let Some(exponent) = exponent(&points) {
            let _ = writeln!(
                text,
                "{what:<40} {nodes:3} nodes each: agents^{exponent:.2}"
            );
        }
    }
    text
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 * 1e-6
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.3}"))
}
