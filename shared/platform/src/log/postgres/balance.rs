//! Who should own which partition: even, sticky, and computed alike by every member.
//!
//! Each member computes it under the group's lock from the same rows and acts only for itself: it lets go of what is no
//! longer its own and takes what is free and should be. So only partitions that move are revoked, and none has two owners.

use std::collections::BTreeMap;

/// For each partition its rightful owner. `owners[p]` is the living member that holds `p` now, if any; `members` lists the
/// living members, sorted, at least one.
pub(super) fn balance(members: &[i64], owners: &[Option<i64>]) -> Vec<Option<i64>> {
    if members.is_empty() {
        return vec![None; owners.len()];
    }
    let mut room = quotas(members, owners);
    let mut rightful: Vec<Option<i64>> =
        owners.iter().map(|owner| owner.filter(|member| take_room(&mut room, *member))).collect();
    let mut spare = room.into_iter().flat_map(|(member, left)| std::iter::repeat_n(member, left));
    for slot in rightful.iter_mut().filter(|slot| slot.is_none()) {
        *slot = spare.next();
    }
    rightful
}

/// How many partitions each member may hold. When they do not divide evenly, the larger shares go to those who hold the
/// most already, so that nothing moves needlessly.
fn quotas(members: &[i64], owners: &[Option<i64>]) -> BTreeMap<i64, usize> {
    let (share, larger) = (owners.len() / members.len(), owners.len() % members.len());
    let held = |member: i64| owners.iter().filter(|owner| **owner == Some(member)).count();
    let mut ranked: Vec<(usize, i64)> = members.iter().map(|member| (held(*member), *member)).collect();
    ranked.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    ranked.iter().enumerate().map(|(rank, (_, member))| (*member, share + usize::from(rank < larger))).collect()
}

fn take_room(room: &mut BTreeMap<i64, usize>, member: i64) -> bool {
    match room.get_mut(&member) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_only_what_must_move_moves() {
        let cases: [(&[i64], &[i64], &[i64]); 8] = [
            (&[1], &[0, 0, 0], &[1, 1, 1]),
            (&[1, 2], &[1, 1, 1, 1], &[1, 1, 2, 2]),
            (&[1, 2], &[1, 1, 1], &[1, 1, 2]),
            (&[1, 2], &[2, 2, 1], &[2, 2, 1]),
            (&[1, 2], &[1, 1, 0, 0], &[1, 1, 2, 2]),
            (&[1, 2, 3], &[1, 1, 2, 2], &[1, 1, 2, 3]),
            (&[2], &[1, 1, 2, 2], &[2, 2, 2, 2]),
            (&[1, 2, 3], &[1], &[1]),
        ];
        for (members, owners, expected) in cases {
            let owners: Vec<Option<i64>> = owners.iter().map(|o| (*o != 0).then_some(*o)).collect();
            let expected: Vec<Option<i64>> = expected.iter().copied().map(Some).collect();
            assert_eq!(balance(members, &owners), expected, "members {members:?}, owners {owners:?}");
        }
    }

    #[test]
    fn a_balanced_group_stays_as_it_is() {
        for members in 1..6_i64 {
            for partitions in 1..20 {
                let names: Vec<i64> = (1..=members).collect();
                let first = balance(&names, &vec![None; partitions]);
                assert!(first.iter().all(Option::is_some));
                assert_eq!(balance(&names, &first), first, "{members} members, {partitions} partitions");
            }
        }
    }
}
