//! Each rule at its bound and one beyond.

use super::*;

#[test]
fn a_quota_is_so_many_whole_pages_and_one_at_least() {
    assert_eq!(most_pages(Bytes::mebi(64)), 16_384);
    assert_eq!(most_pages(Bytes::new(2 * BYTES_A_PAGE - 1)), 1);
    assert_eq!(most_pages(Bytes::ZERO), 1);
    assert_eq!(most_pages(Bytes::new(u64::MAX)), u32::MAX - 1);
}

#[test]
fn what_a_statement_brings_has_bounds_that_are_told_with_the_value() {
    assert_eq!(check_statement(&"x".repeat(LONGEST_STATEMENT)), Ok(()));
    let long = check_statement(&"x".repeat(LONGEST_STATEMENT + 1)).unwrap_err();
    assert_eq!(long.to_string(), "the statement has 262145 bytes: at most 262144 are allowed");
    assert_eq!(check_parameters([LARGEST_VALUE; MOST_PARAMETERS].into_iter()), Ok(()));
    let many = check_parameters([0; MOST_PARAMETERS + 1].into_iter()).unwrap_err();
    assert_eq!(many, SqlRefusal::ManyParameters(1001));
    let large = check_parameters([1, LARGEST_VALUE + 1].into_iter()).unwrap_err();
    assert_eq!(large.to_string(), "parameter 2 has 1048577 bytes: at most 1048576 are allowed");
}

#[test]
fn a_statement_ends_at_its_last_step_or_at_the_end_of_its_time() {
    let mut spent =
        StatementSpent { steps: MOST_STEPS - 1, cpu: MOST_CPU - Duration::from_nanos(1) };
    assert_eq!(spent.check(), Ok(()));
    spent.cpu = MOST_CPU;
    assert_eq!(spent.check(), Err(SqlRefusal::MuchTime));
    spent.steps += 1;
    assert_eq!(spent.check(), Err(SqlRefusal::ManySteps));
    assert!(SqlRefusal::MuchTime.to_string().contains("after 10s of CPU time"));
}

#[test]
fn many_empty_values_are_an_answer_that_is_too_large_as_well() {
    let mut size = AnswerSize::default();
    let n_rows = (0..).take_while(|_| size.add_row().is_ok()).count();
    assert_eq!(n_rows, MOST_BYTES_OF_ROWS / BESIDE);
    let mut size = AnswerSize::default();
    assert_eq!(size.add(MOST_BYTES_OF_ROWS - BESIDE), Ok(()));
    assert_eq!(size.add(0), Err(SqlRefusal::LargeAnswer));
}

#[test]
fn pragmas_look_at_the_file_and_change_no_more_than_what_is_in_it() {
    let check = |name: &str, without, with| {
        assert_eq!((pragma_rule(name, false), pragma_rule(name, true)), (without, with), "{name}");
    };
    use PragmaRule::{Allowed, Leaves, Refused};
    check("table_info", Allowed, Allowed);
    check("USER_VERSION", Allowed, Allowed);
    check("foreign_keys", Allowed, Leaves);
    check("journal_mode", Allowed, Refused);
    check("schema_version", Allowed, Refused);
    for name in
        ["writable_schema", "temp_store_directory", "mmap_size", "cache_size", "key", "unknown"]
    {
        check(name, Refused, Refused);
    }
}

#[test]
fn modules_and_functions_that_reach_beyond_the_file_are_refused() {
    assert!(is_module_allowed("FTS5") && is_module_allowed("rtree"));
    assert!(
        !is_module_allowed("csv") && !is_module_allowed("fts3") && !is_module_allowed("dbstat")
    );
    assert!(is_function_allowed("lower") && !is_function_allowed("Load_Extension"));
}
