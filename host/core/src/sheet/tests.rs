//! Whole spreadsheets: what is read, what is passed over, and what is said of the rest.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn lines(text: &str, separator: char) -> Vec<Line> {
    let cells = |line: &str| line.split(separator).map(|cell| cell.trim().to_owned()).collect();
    (1..)
        .zip(text.trim().lines())
        .map(|(number, line)| Line { number, cells: cells(line) })
        .collect()
}

fn shown(amount: Amounts) -> String {
    let cpu = amount.cpu.map_or_else(|| "-".to_owned(), |cpu| cpu.to_string());
    let memory = amount.memory.map_or_else(|| "-".to_owned(), |memory| memory.to_string());
    format!("{cpu}/{memory}")
}

fn show(sheet: &Sheet) -> String {
    let mut text = String::new();
    for row in &sheet.rows {
        let machines: Vec<&str> = row.machines.iter().map(Label::as_str).collect();
        text += &format!(
            "{} {} x{} asked {} used {} on {}\n",
            row.number,
            row.app,
            row.replicas,
            shown(row.asked),
            shown(row.used),
            machines.join("+")
        );
    }
    for complaint in &sheet.complaints {
        let Complaint { row, app, column, value, why, loses_row } = complaint;
        let lost = if *loses_row { "row" } else { "cell" };
        text += &format!("{lost} {row} {app}: {column} is {value:?}: {why}\n");
    }
    for assumed in &sheet.assumed {
        text += &format!("assumed: {assumed}\n");
    }
    text
}

fn check(text: &str, separator: char, expected: &Expect) {
    let sheet = Sheet::read(&lines(text, separator), separator).unwrap();
    expected.assert_eq(&show(&sheet));
}

#[test]
fn a_tidy_sheet_is_read_as_it_is() {
    check(
        "app,cpu_milli,memory_mib,replicas,node\nshop,500,256,2,\"n1;n2\"\nmail,1000,512,1,n1",
        ',',
        &expect![[r#"
            2 shop x2 asked 500m/256MiB used -/- on "n1+n2"
            3 mail x1 asked 1/512MiB used -/- on n1
        "#]],
    );
}

#[test]
fn units_and_decimals_are_mixed_in_a_real_one() {
    check(
        "Dienst;vCPU;Speicher;cpu p95;avg mem %;Server\n\
         shop;0,5;512Mi;100m;50 %;srv1\n\
         mail;2 vCPU;1,5 GB;1,25;;SRV1\n\
         Cron;250m;256;n/a;120%;srv2",
        ';',
        &expect![[r#"
            2 shop x1 asked 500m/512MiB used 100m/256MiB on srv1
            3 mail x1 asked 2/1.5GB used 1250m/- on SRV1
            4 Cron x1 asked 250m/256MiB used -/322122548B on srv2
            assumed: bare numbers under "cpu p95" are cores
            assumed: bare numbers under "Speicher" are MiB
            assumed: shares under "avg mem %" are of what the app asks for
            assumed: "avg mem %" is an average and hides peaks; a 95th percentile plans better
            assumed: each row is one replica, no column says how many
            assumed: numbers have decimal commas: 1,5 is one and a half
        "#]],
    );
}

#[test]
fn what_cannot_be_used_is_said() {
    check(
        "app|cpu|memory|cpu_used|replicas|machine\n\
         good|1|1 GiB|||m1\n\
         |1|1 GiB|||m1\n\
         ref|#REF!|1 GiB|||m1\n\
         measured|#REF!|1 GiB|0.5||m1\n\
         dropped|1|1 GiB|lots||m1\n\
         none||1 GiB|||m2\n\
         both|-1|2 parsecs|||m2\n\
         share|n/a|1 GiB|40%||m2\n\
         many|1|1 GiB||2.5|m2\n\
         idle|1|1 GiB||0|m2\n\
         empty|1|0|||m2\n\
         huge|1|9999999 GiB|||m2\n\
         good|2|2 GiB|||M1\n\
         good|2|2 GiB|||m2",
        '|',
        &expect![[r##"
            2 good x1 asked 1/1GiB used -/- on m1
            5 measured x1 asked -/1GiB used 500m/- on m1
            6 dropped x1 asked 1/1GiB used -/- on m1
            15 good x1 asked 2/2GiB used -/- on m2
            row 3 : app is "": the app has no name
            row 4 ref: cpu is "#REF!": it is an error of the spreadsheet program
            cell 5 measured: cpu is "#REF!": it is an error of the spreadsheet program
            cell 6 dropped: cpu_used is "lots": it is not a number
            row 7 : app is "none": the app has no name
            row 7 : cpu is "": it is blank, and no other column says how much the app takes
            row 8 both: cpu is "-1": it is less than nothing
            row 8 both: memory is "2 parsecs": its unit is not known
            row 9 share: cpu_used is "40%": it is a share, and of what is not known
            row 10 many: replicas is "2.5": it is not a whole number of replicas up to 100000
            row 12 empty: memory is "0": nothing runs in no memory
            row 13 huge: memory is "9999999 GiB": it is more than any machine has
            row 14 good: machine is "M1": the same app is on the same machine in row 2, and is counted once
            assumed: bare numbers under "cpu" are cores
            assumed: bare numbers under "cpu_used" are cores
        "##]],
    );
}

#[test]
fn equal_rows_without_a_machine_are_replicas_and_not_the_same_one_twice() {
    check(
        "app|cpu|memory\n\
         shop|1|1 GiB\n\
         shop|1|1 GiB",
        '|',
        &expect![[r#"
            2 shop x1 asked 1/1GiB used -/- on 
            3 shop x1 asked 1/1GiB used -/- on 
            assumed: bare numbers under "cpu" are cores
            assumed: each row is one replica, no column says how many
        "#]],
    );
}

#[test]
fn titles_comments_totals_and_repeated_headings_are_passed_over() {
    let text = "Fleet of 2026|||\n|||\nApp|CPU|Memory (GiB)|Note\n# production|||\nshop|1|2|x\n|||\n\
                App|CPU|Memory (GiB)|Note\nTotal|1|2|\n|Sum:|2|\n// done|||";
    let sheet = Sheet::read(&lines(text, '|'), '|').unwrap();
    assert_eq!(
        sheet.skipped,
        Skipped { blank: 2, comments: vec![1, 4, 7, 10], totals: vec![8, 9], idle: vec![] }
    );
    assert_eq!((sheet.rows.len(), sheet.ignored), (1, vec!["Note".to_owned()]));
}

#[test]
fn rows_on_other_machines_are_replicas() {
    check(
        "app|env|cpu|mem|replicas|host\n\
         shop|prod|1|1Gi|2|a\n\
         shop|prod|1|1Gi|2|b\n\
         shop|test|1|1Gi|1|a\n\
         mail|prod|1|1Gi|3|a, b, c\n\
         cron|prod|1|1Gi|3|a",
        '|',
        &expect![[r#"
            2 shop x1 asked 1/1GiB used -/- on a
            3 shop x1 asked 1/1GiB used -/- on b
            4 shop x1 asked 1/1GiB used -/- on a
            5 mail x3 asked 1/1GiB used -/- on a+b+c
            6 cron x3 asked 1/1GiB used -/- on a
            assumed: bare numbers under "cpu" are cores
            assumed: 2 rows repeat how many replicas their app has in all, and are one each
        "#]],
    );
}

#[test]
fn a_sum_over_replicas_is_parted() {
    check(
        "app|total cpu|total mem|pods\nshop|3|3GiB|2",
        '|',
        &expect![[r#"
            2 shop x2 asked 1500m/1.5GiB used -/- on 
            assumed: bare numbers under "total cpu" are cores
            assumed: "total cpu" is of all replicas together
            assumed: "total mem" is of all replicas together
        "#]],
    );
}

#[test]
fn limits_stand_in_for_requests() {
    check(
        "app|cpu limit|cpu request|ram limit\nshop|2|1|1Gi\nmail|2||1Gi",
        '|',
        &expect![[r#"
            2 shop x1 asked 1/1GiB used -/- on 
            3 mail x1 asked 2/1GiB used -/- on 
            assumed: bare numbers under "cpu request" are cores
            assumed: bare numbers under "cpu limit" are cores
            assumed: each row is one replica, no column says how many
        "#]],
    );
}

#[test]
fn instances_are_machines_where_they_are_no_numbers() {
    check(
        "app|cpu|mem|instance\nshop|1|1Gi|i-0a1",
        '|',
        &expect![[r#"
            2 shop x1 asked 1/1GiB used -/- on i-0a1
            assumed: bare numbers under "cpu" are cores
            assumed: each row is one replica, no column says how many
        "#]],
    );
    check(
        "app|cpu|mem|instance\nshop|1|1Gi|4",
        '|',
        &expect![[r#"
            2 shop x4 asked 1/1GiB used -/- on 
            assumed: bare numbers under "cpu" are cores
        "#]],
    );
}

#[test]
fn a_sheet_without_headings_is_refused_with_what_it_lacks() {
    let read = |text| Sheet::read(&lines(text, ','), ',').unwrap_err().to_string();
    expect![[r#"no line names the columns that are needed: line 1 comes closest and lacks one of memory (memory, mem_gb, ram); it says "app, cpu, owner""#]].assert_eq(&read("app,cpu,owner\nshop,1,2"));
    expect![[r#"no line names the columns that are needed: line 1 comes closest and lacks a column of apps (app, service, name), and one of cpu (cpu, cpu request, vcpu, millicores), and one of memory (memory, mem_gb, ram); it says "1, 2, 3""#]].assert_eq(&read("1,2,3"));
    expect!["the spreadsheet is empty"].assert_eq(&read(""));
}

proptest! {
    #[test]
    fn every_line_is_a_row_or_left_out_or_passed_over(
        body in proptest::collection::vec(
            proptest::collection::vec(
                prop_oneof![
                    "[a-c]", "[0-9]{1,3}(m|Mi| GB|%)?", Just(String::new()), "[#=,.(-]?[0-9,.]{0,6}",
                    "\\PC{0,6}", Just("total".to_owned()), Just("#REF!".to_owned()),
                ],
                0..8,
            ),
            0..20,
        ),
        separator in prop_oneof![Just(','), Just(';')],
    ) {
        let heads = ["app", "cpu", "memory", "cpu used", "mem used %", "replicas", "host"];
        let head = heads.iter().map(|&head| head.to_owned()).collect();
        let lines: Vec<Line> = std::iter::once(head)
            .chain(body)
            .zip(1..)
            .map(|(cells, number)| Line { number, cells })
            .collect();
        let sheet = Sheet::read(&lines, separator).unwrap();
        prop_assert_eq!(sheet.n_lines(), lines.len() - 1);
        for row in &sheet.rows {
            prop_assert!(row.replicas > 0 && row.asked.cpu.or(row.used.cpu).is_some());
            prop_assert!(row.asked.memory.or(row.used.memory).is_some());
        }
        let mut lost: Vec<u64> = sheet.complaints.iter()
            .filter(|complaint| complaint.loses_row).map(|complaint| complaint.row).collect();
        lost.dedup();
        prop_assert_eq!(lost.len(), usize::try_from(sheet.n_lost).unwrap());
    }
}

#[test]
fn what_does_not_run_is_left_out_with_its_machine() {
    check(
        "Name,CPU,Memory (MiB),Host,Instance state\n\
         a,500m,256,n1,running\nb,500m,256,n2,Stopped\nc,500m,256,n3,VM deallocated\n\
         d,500m,256,n4,PowerState/off\ne,500m,256,n5,\nf,500m,256,n1,not running\n\
         g,500m,256,n6,ok",
        ',',
        &expect![[r#"
            2 a x1 asked 500m/256MiB used -/- on n1
            6 e x1 asked 500m/256MiB used -/- on n5
            8 g x1 asked 500m/256MiB used -/- on n6
            row 3 b: Instance state is "Stopped": it does not run
            row 4 c: Instance state is "VM deallocated": it does not run
            row 5 d: Instance state is "PowerState/off": it does not run
            row 7 f: Instance state is "not running": it does not run
            assumed: each row is one replica, no column says how many
        "#]],
    );
}
