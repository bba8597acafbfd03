#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]
use std::collections::BTreeMap;
fn main() {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<u64>().unwrap());
    let (from, to) = (args.next().unwrap(), args.next().unwrap());
    if from == to {
        let o = world::run(&world::script_of(from), world::Telling::On);
        println!("{}", o.text.unwrap());
        return;
    }
    let mut sums: BTreeMap<String, (u64, Vec<u64>)> = BTreeMap::new();
    for seed in from..to {
        let o =
            std::panic::catch_unwind(|| world::run(&world::script_of(seed), world::Telling::Off));
        let (key, text) = match o {
            Ok(o) => match o.violation {
                Some(v) => (
                    format!(
                        "{:?} {}",
                        o.rule,
                        v.split_once(": ")
                            .map_or("", |x| x.1)
                            .chars()
                            .take(60)
                            .collect::<String>()
                            .chars()
                            .map(|c| if c.is_ascii_digit() { '#' } else { c })
                            .collect::<String>()
                    ),
                    v,
                ),
                None => ("ok".into(), String::new()),
            },
            Err(_) => ("panic".into(), String::new()),
        };
        let e = sums.entry(key.clone()).or_default();
        if e.0 < 2 && key != "ok" {
            println!("seed {seed}: {text}");
        }
        e.0 += 1;
        if e.1.len() < 8 {
            e.1.push(seed);
        }
    }
    for (k, (n, s)) in sums {
        println!(
            "{n:>6} {k} {}",
            if k == "ok" {
                String::new()
            } else {
                format!("{s:?}")
            }
        );
    }
}
