//! How many attempts on further endpoints the whole plane may make: a fifth of its requests and
//! ten a second, so that retries cannot multiply an outage. One instance per data plane.

use std::sync::{Mutex, PoisonError};

use crate::layout::limits::{REQUESTS_IN_FLIGHT_MAX, RETRY_BUDGET_PER_SECOND, RETRY_BUDGET_RATIO};

/// Unused seconds are kept this long: an endpoint's death needs many retries at one moment.
const KEPT_SECONDS: f64 = 10.0;
const PER_SECOND: f64 = RETRY_BUDGET_PER_SECOND as f64;
const BALANCE_MAX: f64 =
    KEPT_SECONDS * PER_SECOND + RETRY_BUDGET_RATIO * REQUESTS_IN_FLIGHT_MAX as f64;

struct State {
    balance: f64,
    counted_at_ms: f64,
}

pub struct RetryBudget(Mutex<State>);

impl RetryBudget {
    pub fn new(now_ms: f64) -> Self {
        Self(Mutex::new(State {
            balance: KEPT_SECONDS * PER_SECOND,
            counted_at_ms: now_ms,
        }))
    }

    /// A request earns a fraction of a retry.
    pub fn deposit(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.balance = BALANCE_MAX.min(state.balance + RETRY_BUDGET_RATIO);
    }

    /// Takes one retry; false when there is none left.
    pub fn take(&self, now_ms: f64) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earned = (now_ms - state.counted_at_ms).max(0.0) / 1000.0 * PER_SECOND;
        state.balance = BALANCE_MAX.min(state.balance + earned);
        state.counted_at_ms = now_ms;
        if state.balance < 1.0 {
            return false;
        }
        state.balance -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_end_and_come_back_with_time() {
        let budget = RetryBudget::new(0.0);
        let mut taken = 0;
        while budget.take(0.0) {
            taken += 1;
        }
        assert_eq!(taken, 100);
        for _ in 0..11 {
            budget.deposit();
        }
        assert!(budget.take(0.0) && budget.take(0.0) && !budget.take(0.0));
        assert!(budget.take(1000.0));
    }
}
