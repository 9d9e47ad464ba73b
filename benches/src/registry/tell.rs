//! What was measured, as Markdown.

use std::time::Duration;

use super::parts::Cost;
use super::{
    CACHED, COLD, DIRECT, JSON, RAW, SEALED, SKOPEO, SMALL_CACHED, SMALL_COLD, SMALL_WARM, Way,
    Ways,
};

/// Prints what was measured of `bytes`.
pub(crate) fn tell(ways: &Ways, bytes: usize) {
    let names = [RAW, COLD, CACHED, DIRECT, SKOPEO, SEALED, JSON];
    let large = names.map(|name| ways.get(name));
    let time = |way: Option<&Way>| way.map(|way| median(&way.times));
    let [raw, _, _, _, skopeo, _, _] = large.map(time);
    let ratio = |to: Option<Duration>, time: Duration| {
        to.map_or_else(
            || "–".to_owned(),
            |to| format!("{:.2}", to.as_secs_f64() / time.as_secs_f64()),
        )
    };
    println!("## 100 MB to a proplet's memory, medians\n");
    println!("| way | median | MB/s | of mosquitto | of skopeo |\n|---|---|---|---|---|");
    for way in large.into_iter().flatten() {
        let took = median(&way.times);
        println!(
            "| {} | {:.0} ms | {:.0} | {} | {} |",
            way.name,
            took.as_secs_f64() * 1e3,
            bytes as f64 / took.as_secs_f64() / 1e6,
            ratio(raw, took),
            ratio(skopeo, took),
        );
    }
    println!(
        "\n## Each part\n\n| way | part | processor per byte | resident, at most |\n|---|---|---|---|"
    );
    for way in large.into_iter().flatten() {
        let parts = way.costs.first().map_or(&[][..], |Cost(parts)| parts);
        for (at, part) in parts.iter().enumerate() {
            let of = |cost: &Cost| cost.0[at].clone();
            let cpu: Vec<Duration> = way.costs.iter().map(|cost| of(cost).cpu).collect();
            let mean = cpu.iter().sum::<Duration>().as_secs_f64() / cpu.len() as f64;
            let peak = way.costs.iter().map(|cost| of(cost).peak_kib).max();
            println!(
                "| {} | {} | {:.1} ns | {:.1} MB |",
                way.name,
                part.name,
                mean * 1e9 / bytes as f64,
                peak.unwrap_or_default() as f64 / 1e3 * 1.024,
            );
        }
    }
    println!("\n## 1 MB, medians\n\n| what | time |\n|---|---|");
    let small = [SMALL_COLD, SMALL_CACHED, SMALL_WARM].into_iter();
    for way in small.filter_map(|name| ways.get(name)) {
        let took = median(&way.times).as_secs_f64() * 1e3;
        println!("| {} | {took:.1} ms |", way.name);
    }
    if let (Some(raw), Some(cached)) = (raw, time(ways.get(CACHED))) {
        let share = raw.as_secs_f64() / cached.as_secs_f64();
        let met = if share >= 0.8 { "yes" } else { "no" };
        println!("\n| goal | measured | met |\n|---|---|---|");
        println!("| cached at the proxy ≥ 0.8 of mosquitto alone | {share:.2} | {met} |");
    }
    let proxies = [COLD, CACHED].into_iter().filter_map(|name| ways.get(name));
    let peaks = proxies.flat_map(|way| way.costs.iter().flat_map(|Cost(parts)| parts));
    let peak = peaks
        .filter(|part| part.name == "proxy")
        .map(|part| part.peak_kib)
        .max();
    if let Some(peak) = peak {
        let met = if peak <= 32 * 1024 { "yes" } else { "no" };
        println!(
            "| the proxy's memory ≤ 32 MB | {:.1} MB | {met} |",
            peak as f64 * 1.024 / 1e3
        );
    }
}

impl Ways {
    fn get(&self, name: &str) -> Option<&Way> {
        self.0.iter().find(|way| way.name == name)
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
