//! Whether two sets of measurements come from the same distribution.

/// The standardised statistic of the Mann–Whitney U test with correction for ties: near zero when neither sample tends
/// to be larger, beyond ±4 with a chance of about one in 16,000 when there is no difference. Positive when `a` tends to
/// be larger. A good approximation from about 20 measurements each.
pub fn mann_whitney_z(a: &[f64], b: &[f64]) -> f64 {
    let (n_a, n_b) = (count(a.len()), count(b.len()));
    let mut all: Vec<(f64, bool)> = a.iter().map(|&x| (x, true)).chain(b.iter().map(|&x| (x, false))).collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let mut rank_sum_a = 0.0;
    let mut ties = 0.0;
    let mut rank = 1.0;
    for group in all.chunk_by(|x, y| x.0.total_cmp(&y.0).is_eq()) {
        let size = count(group.len());
        let mean_rank = rank + (size - 1.0) / 2.0;
        rank_sum_a += mean_rank * count(group.iter().filter(|(_, of_a)| *of_a).count());
        ties += size.powi(3) - size;
        rank += size;
    }
    let n = n_a + n_b;
    let u = rank_sum_a - n_a * (n_a + 1.0) / 2.0;
    let variance = n_a * n_b / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)));
    if variance == 0.0 { 0.0 } else { (u - n_a * n_b / 2.0) / variance.sqrt() }
}

/// The middle one; of an even number, the upper of the two.
///
/// # Panics
/// If there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plaza_test_support::Seed;

    #[test]
    fn a_hand_computed_case() {
        // U = 1 of 9 (only 4 > 3); the variance is 9 / 12 · 7.
        let z = mann_whitney_z(&[1.0, 2.0, 4.0], &[3.0, 5.0, 6.0]);
        assert!((z - (1.0 - 4.5) / (9.0 / 12.0 * 7.0_f64).sqrt()).abs() < 1e-12, "{z}");
        assert!(mann_whitney_z(&[1.0; 9], &[1.0; 9]).abs() < f64::EPSILON, "all ties");
    }

    #[test]
    fn it_tells_a_skipped_hash_from_noise() {
        let seed = Seed::from_env();
        let mut rng = seed.rng(0);
        let mut sample = |base: f64| -> Vec<f64> { (0..40).map(|_| base + 20.0 * rng.f64().powi(4)).collect() };
        let (same, other, faster) = (sample(66.0), sample(66.0), sample(50.0));
        assert!(mann_whitney_z(&same, &other).abs() < 4.0, "{seed}");
        assert!(mann_whitney_z(&same, &faster) > 4.0, "{seed}");
    }
}
