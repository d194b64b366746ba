//! A connection in agreement, and the same with one value wrong.

use super::*;

fn kernel(field: &str) -> Option<u64> {
    Some(match field {
        "tcpi_snd_cwnd" => 10,
        "tcpi_snd_mss" => 1448,
        "tcpi_snd_ssthresh" => 0x7fff_ffff,
        "tcpi_total_rto" => 2,
        "tcpi_options" => 0b0011,
        "tcpi_unacked" => 3,
        "tcpi_sacked" | "tcpi_lost" | "tcpi_ca_state" => 1,
        "tcpi_retrans" => 0,
        "tcpi_rcv_wnd" => return None,
        _ => 1000,
    })
}

const WHOLE: Scope = Scope { from_the_beginning: true, established: true, lossy: false };

fn row(var: Var) -> Option<u64> {
    match var {
        Var::CurCwnd => Some(14_480),
        Var::CurSsthresh => Some(0xffff_ffff),
        Var::PipeSize => Some(1448),
        Var::Timeouts => Some(2),
        Var::SubsequentTimeouts => Some(0),
        Var::SegsOut => Some(1000),
        Var::InRecovery => Some(2),
        Var::TimeStamps | Var::WillSendSACK => Some(1),
        Var::ECN => Some(3),
        Var::MaxRwinRcvd => Some(1000),
        _ => None,
    }
}

fn verdict(
    of: &str,
    row: Replayed<'_>,
    scope: Scope,
    quality: &'static str,
) -> (Verdict, &'static str) {
    let found = audit(row, &kernel, &|_| quality, scope);
    let comparison = found.iter().find(|c| c.relation.starts_with(of)).expect("compared");
    (comparison.verdict, comparison.reason)
}

#[test]
fn what_agrees_is_equal_or_bounded() {
    for of in ["CurCwnd", "CurSsthresh", "PipeSize", "Timeouts +", "SegsOut", "InRecovery", "ECN"] {
        assert_eq!(verdict(of, &row, WHOLE, "exact"), (Verdict::Equal, ""), "{of}");
    }
    assert_eq!(verdict("MaxRwinRcvd", &row, WHOLE, "exact"), (Verdict::Bounded, ""));
}

#[test]
fn one_wrong_value_differs() {
    let wrong = |var| if var == Var::SegsOut { Some(1001) } else { row(var) };
    assert_eq!(verdict("SegsOut", &wrong, WHOLE, "exact"), (Verdict::Differs, ""));
    let found = audit(&wrong, &kernel, &|_| "exact", WHOLE);
    assert_eq!(found.iter().filter(|c| c.verdict == Verdict::Differs).count(), 1);
}

#[test]
fn what_cannot_be_compared_says_why() {
    assert_eq!(
        verdict("CurRwinSent", &row, WHOLE, "exact"),
        (Verdict::NotComparable, "not recorded")
    );
    let sent = |var| if var == Var::CurRwinSent { Some(1) } else { row(var) };
    assert_eq!(
        verdict("CurRwinSent", &sent, WHOLE, "exact"),
        (Verdict::NotComparable, "this kernel does not say")
    );
    let refused = Scope { established: false, ..WHOLE };
    assert_eq!(
        verdict("MaxRwinRcvd", &row, refused, "exact"),
        (Verdict::NotComparable, "never established")
    );
    let lossy = Scope { lossy: true, ..WHOLE };
    assert_eq!(verdict("Timeouts +", &row, lossy, "exact").0, Verdict::NotComparable);
    assert_eq!(verdict("SegsOut", &row, lossy, "exact").0, Verdict::Equal, "the kernel's own");
    assert_eq!(verdict("SegsOut", &row, WHOLE, "approximate").0, Verdict::NotComparable);
}

#[test]
fn the_list_is_long_enough() {
    assert!(relations().len() >= 45);
    assert!(variables().len() >= 45, "{}", variables().len());
    // One list: what is documented is what is compared.
    let compared = audit(&|_| None, &|_| None, &|_| "exact", WHOLE);
    let relations: Vec<_> = relations().into_iter().map(|r| r.relation).collect();
    assert_eq!(compared.into_iter().map(|c| c.relation).collect::<Vec<_>>(), relations);
}
