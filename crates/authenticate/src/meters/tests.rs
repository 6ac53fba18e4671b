use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use super::*;

struct Hands {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl Hands {
    fn new() -> Arc<Self> {
        Arc::new(Self { wall: AtomicI64::new(1_795_000_000_000_000), steady: AtomicI64::new(0) })
    }

    fn advance(&self, span: Span) {
        self.wall.fetch_add(span.0, Ordering::SeqCst);
        self.steady.fetch_add(span.0, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Timestamp {
        Timestamp(self.steady.load(Ordering::SeqCst))
    }
}

fn meter(json: &str) -> Meter {
    serde_json::from_str(json).unwrap()
}

fn calls(window: &str) -> Meter {
    let per = if window == "session" { "session" } else { "agent" };
    meter(&format!(r#"{{"name": "m", "counts": "calls", "per": "{per}", "window": "{window}"}}"#))
}

fn touch(meter: &Meter, amount: i64) -> Touch<'_> {
    Touch { meter, subject: "crm".into(), amount }
}

/// Takes one if fewer than `limit` are taken.
fn take(meters: &Arc<Meters>, meter: &Meter, limit: i64) -> Option<Reservation> {
    meters.decide(&[touch(meter, 1)], |values| ((), values[0] < limit)).1
}

fn value(meters: &Meters, meter: &Meter) -> i64 {
    meters.read(&[touch(meter, 0)])[0]
}

#[test]
fn a_denial_consumes_nothing_and_what_is_not_sent_is_given_back() {
    let (meters, meter) = (Meters::new(Hands::new()), calls("24h"));
    let first = take(&meters, &meter, 1).unwrap();
    assert!(take(&meters, &meter, 1).is_none(), "it is reserved");
    assert_eq!(value(&meters, &meter), 1);
    assert_eq!(first.settle(ActResult::NotSent, None)[0].amount, 0);
    let second = take(&meters, &meter, 1).unwrap();
    drop(second);
    let third = take(&meters, &meter, 1).unwrap();
    assert_eq!(third.settle(ActResult::Failed, None)[0].amount, 1, "a call that failed was a call");
    assert!(take(&meters, &meter, 1).is_none());
}

#[test]
fn what_was_settled_leaves_the_window_late_rather_than_early() {
    let (clock, meter) = (Hands::new(), calls("1h"));
    let meters = Meters::new(clock.clone());
    let _ = take(&meters, &meter, 9).unwrap().settle(ActResult::Succeeded, None);
    clock.advance(Span(Span::hours(1).0 - 1));
    assert_eq!(value(&meters, &meter), 1, "not before the hour is over");
    clock.advance(Span::minutes(1));
    assert_eq!(value(&meters, &meter), 0, "and no longer than a sixtieth more");
    meters.sweep(|_| true);
    assert!(meters.is_empty());
}

#[test]
fn what_is_reserved_counts_however_long_it_takes() {
    let (clock, meter) = (Hands::new(), calls("60s"));
    let meters = Meters::new(clock.clone());
    let open = take(&meters, &meter, 9).unwrap();
    clock.advance(Span::hours(5));
    meters.sweep(|_| false);
    assert_eq!(value(&meters, &meter), 1);
    let _ = open.settle(ActResult::Indeterminate, None);
    assert_eq!(value(&meters, &meter), 1, "its window begins when it ended");
}

#[test]
fn a_step_of_the_wall_clock_moves_no_window() {
    let (clock, meter) = (Hands::new(), calls("24h"));
    let meters = Meters::new(clock.clone());
    let _ = take(&meters, &meter, 9).unwrap().settle(ActResult::Succeeded, None);
    for step in [Span::days(365), Span::days(-730)] {
        clock.wall.fetch_add(step.0, Ordering::SeqCst);
        assert_eq!(value(&meters, &meter), 1);
    }
}

#[test]
fn a_session_counts_as_long_as_it_lives() {
    let (clock, meter) = (Hands::new(), calls("session"));
    let meters = Meters::new(clock.clone());
    let _ = take(&meters, &meter, 9).unwrap().settle(ActResult::Succeeded, None);
    clock.advance(Span::days(300));
    meters.sweep(|session| session == "crm");
    assert_eq!(value(&meters, &meter), 1);
    meters.sweep(|_| false);
    assert!(meters.is_empty());
}

#[test]
fn rows_are_settled_by_what_came_back() {
    let json = r#"{"name": "rows", "counts": {"result": "/rows", "reserve": 100}, "per": "agent", "window": "1h"}"#;
    let (meters, meter) = (Meters::new(Hands::new()), meter(json));
    let (_, reserved) = meters.decide(&[touch(&meter, 100)], |_| ((), true));
    assert_eq!(value(&meters, &meter), 100);
    let _ = reserved.unwrap().settle(ActResult::Succeeded, Some(&serde_json::json!({"rows": 7})));
    assert_eq!(value(&meters, &meter), 7);
}

#[test]
fn the_log_brings_counters_back_in_any_order() {
    let (clock, meter) = (Hands::new(), calls("1h"));
    let before = Meters::new(clock.clone());
    let mut told = Vec::new();
    for _ in 0..200 {
        let uses = take(&before, &meter, 1_000).unwrap().settle(ActResult::Succeeded, None);
        told.push((clock.now(), uses));
        clock.advance(Span::seconds(31));
    }
    let after = Meters::new(clock.clone());
    told.iter().rev().flat_map(|(at, uses)| uses.iter().map(move |used| (at, used))).for_each(|(at, used)| {
        after.restore(&meter, used, *at);
    });
    for _ in 0..130 {
        assert_eq!(value(&after, &meter), value(&before, &meter));
        clock.advance(Span::seconds(31));
    }
    assert_eq!(value(&before, &meter), 0);
    // The clock was set back over the restart: what lies in the future counts as of now.
    after.restore(&meter, &told[0].1[0], clock.now() + Span::days(30));
    clock.advance(Span::hours(2));
    assert_eq!(value(&after, &meter), 0);
}

#[test]
fn no_two_take_the_last_one() {
    let (meters, meter) = (Meters::new(Hands::new()), calls("24h"));
    let other = calls("session");
    let taken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let touched = [touch(&meter, 1), touch(&other, 1)];
                    let (_, reserved) = meters.decide(&touched, |values| ((), values[0] < 50));
                    if let Some(reserved) = reserved {
                        taken.fetch_add(1, Ordering::SeqCst);
                        let _ = reserved.settle(ActResult::Succeeded, None);
                    }
                }
            });
        }
    });
    assert_eq!((taken.into_inner(), value(&meters, &meter), value(&meters, &other)), (50, 50, 50));
}
