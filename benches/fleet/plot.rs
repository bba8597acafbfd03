//! Cost against the number of agents, both logarithmic, as SVG.

use std::fmt::Write as _;

use crate::report::{Figure, millis};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 480.0;
const MARGIN: f64 = 60.0;
/// For the names of the lines.
const LEGEND: f64 = 190.0;

const COLOURS: [&str; 6] = [
    "#1b6ca8", "#c0392b", "#1e8449", "#8e44ad", "#b9770e", "#34495e",
];

/// One line for each of these kinds of figures and each number of nodes that several sizes of fleets
/// were measured with.
pub(crate) fn svg(figures: &[Figure], kinds: &[&str]) -> String {
    let lines = lines(figures, kinds);
    let points = lines.iter().flat_map(|line| &line.points);
    let (mut left, mut right) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for (agents, cost) in points {
        (left, right) = (left.min(agents.log10()), right.max(agents.log10()));
        (low, high) = (low.min(cost.log10()), high.max(cost.log10()));
    }
    let (low, high) = (low.floor(), high.ceil());
    let x = |agents: f64| {
        let share = (agents.log10() - left) / (right - left).max(f64::MIN_POSITIVE);
        MARGIN + share * (WIDTH - MARGIN - LEGEND)
    };
    let y = |cost: f64| {
        let share = (cost.log10() - low) / (high - low).max(f64::MIN_POSITIVE);
        HEIGHT - MARGIN - share * (HEIGHT - 2.0 * MARGIN)
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"24\" font-size=\"14\">time to an answer (p50, ms) against the \
         number of agents</text>\n"
    );
    let mut decade = low;
    while decade <= high && lines.iter().any(|line| !line.points.is_empty()) {
        let (at, value) = (y(10f64.powf(decade)), 10f64.powf(decade));
        let end = WIDTH - LEGEND;
        let _ = writeln!(
            out,
            "<path d=\"M{MARGIN} {at:.1}H{end}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            MARGIN - 6.0,
            at + 4.0
        );
        decade += 1.0;
    }
    let mut sizes: Vec<f64> = Vec::new();
    for (agents, _) in lines.iter().flat_map(|line| &line.points) {
        if !sizes.contains(agents) {
            sizes.push(*agents);
        }
    }
    for agents in sizes {
        let (at, foot) = (x(agents), HEIGHT - MARGIN);
        let _ = writeln!(
            out,
            "<path d=\"M{at:.1} {MARGIN}V{foot}\" stroke=\"#ddd\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{agents}</text>",
            foot + 16.0
        );
    }
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        line.draw(&mut out, colour, x, y);
    }
    out.push_str("</svg>\n");
    out
}

struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Line {
    fn draw(&self, out: &mut String, colour: &str, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) {
        let mut path = String::new();
        for (agents, cost) in &self.points {
            let step = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{step}{:.1} {:.1}", x(*agents), y(*cost));
            let _ = writeln!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                x(*agents),
                y(*cost)
            );
        }
        let _ = writeln!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\"/>"
        );
        if let Some((agents, cost)) = self.points.last() {
            let (at, name) = (y(*cost) + 4.0, &self.name);
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{at:.1}\" fill=\"{colour}\">{name}</text>",
                x(*agents) + 8.0
            );
        }
    }
}

fn lines(figures: &[Figure], kinds: &[&str]) -> Vec<Line> {
    let mut nodes: Vec<usize> = figures.iter().map(|figure| figure.nodes).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let mut lines = Vec::new();
    for kind in kinds {
        for nodes in &nodes {
            let same = figures.iter();
            let same = same.filter(|figure| figure.what == *kind && figure.nodes == *nodes);
            let points = same.map(|figure| (figure.agents as f64, millis(figure.spread.p50)));
            let points: Vec<(f64, f64)> = points.filter(|(_, cost)| *cost > 0.0).collect();
            if points.len() > 1 {
                let name = format!("{kind}, {nodes} nodes each");
                lines.push(Line { name, points });
            }
        }
    }
    lines
}
