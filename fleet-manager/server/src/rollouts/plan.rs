//! What a person wants of a rollout, and which box is in which stage.

use std::collections::{BTreeMap, BTreeSet};

use nodi_protocol::BoxId;
use nodi_protocol::fleet::update::Deadlines;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::bundles::BundleId;
use crate::error::Error;
use crate::updates::{BEGIN_S, check_begin_s, check_deadlines};

/// Longest name, in characters.
const MAX_NAME: usize = 100;
/// A canary is a handful of boxes that somebody looks at.
const MAX_CANARY: usize = 100;
/// More steps than one per five per cent tell nobody more.
const MAX_STAGES: usize = 20;
/// What fits into the longest body of a request.
const MAX_BOXES: usize = 10_000;
const MAX_FAILURES: u32 = 100_000;
const MAX_SOAK_S: u32 = 7 * 24 * 3_600;

/// Who opens the way to the next stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RolloutGate)]
pub enum Gate {
    #[default]
    Automatic,
    /// A person, who continues the rollout.
    Manual,
}

/// Body of `POST /rollouts`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRollout {
    #[schema(max_length = 100)]
    pub name: String,
    pub bundle: BundleId,
    /// Boxes that come first, before all stages.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub canary: Vec<BoxId>,
    /// Rising percentages of all boxes of the rollout; the last one is 100.
    #[serde(default = "everything")]
    #[schema(min_items = 1, max_items = 20)]
    pub stages: Vec<u8>,
    /// So many failures that nobody acknowledged are borne, as long as `success_percent` can be reached; one more halts.
    #[serde(default)]
    #[schema(maximum = 100_000)]
    pub max_failures: u32,
    /// The next stage begins when this share of all boxes up to then is confirmed.
    #[serde(default = "whole")]
    #[schema(minimum = 1, maximum = 100)]
    pub success_percent: u8,
    #[serde(default)]
    pub gate: Gate,
    /// Seconds from then until the next stage begins.
    #[serde(default)]
    #[schema(maximum = 604_800)]
    pub soak_s: u32,
    /// Also while something is live, and outside the maintenance windows.
    #[serde(default)]
    pub force: bool,
    /// How long each state of a box may last.
    #[serde(default)]
    pub deadlines: Option<Deadlines>,
    /// A box that has not begun after so many seconds has failed; by default a day.
    #[serde(default)]
    #[schema(minimum = 10, maximum = 2_592_000)]
    pub begin_s: Option<u32>,
    /// These boxes only; by default all that the bundle is for, also those that come later.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 10_000)]
    pub boxes: Option<Vec<BoxId>>,
}

fn everything() -> Vec<u8> {
    vec![100]
}

fn whole() -> u8 {
    100
}

/// What is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RolloutPlan)]
pub struct Plan {
    /// Boxes that come first, before all stages.
    pub canary: Vec<BoxId>,
    /// Rising percentages of all boxes of the rollout.
    pub stages: Vec<u8>,
    pub max_failures: u32,
    pub success_percent: u8,
    pub gate: Gate,
    pub soak_s: u32,
    pub force: bool,
    pub deadlines: Deadlines,
    pub begin_s: u32,
    /// Null: all that the bundle is for.
    pub boxes: Option<Vec<BoxId>>,
}

impl NewRollout {
    /// Name, bundle and plan of it.
    ///
    /// # Errors
    /// Which value is not possible.
    pub(super) fn checked(self) -> Result<(String, BundleId, Plan), Error> {
        let name = self.name.trim().to_owned();
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(Error::invalid("name", format!("is not 1 to {MAX_NAME} characters")));
        }
        check_boxes("canary", &self.canary, MAX_CANARY)?;
        if let Some(boxes) = &self.boxes {
            check_boxes("boxes", boxes, MAX_BOXES)?;
            if boxes.is_empty() {
                return Err(Error::invalid("boxes", "is empty; leave it out for all boxes"));
            }
            let boxes: BTreeSet<&BoxId> = boxes.iter().collect();
            if let Some(other) = self.canary.iter().find(|id| !boxes.contains(id)) {
                return Err(Error::invalid("canary", format!("{other} is not in boxes")));
            }
        }
        let rises = self.stages.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        let ends = self.stages.last() == Some(&100) && !self.stages.contains(&0);
        if !rises || !ends || self.stages.len() > MAX_STAGES {
            let reason = format!("are not 1 to {MAX_STAGES} rising percentages of which the last is 100");
            return Err(Error::invalid("stages", reason));
        }
        if self.max_failures > MAX_FAILURES {
            return Err(Error::invalid("max_failures", format!("is above {MAX_FAILURES}")));
        }
        if !(1..=100).contains(&self.success_percent) {
            return Err(Error::invalid("success_percent", "is not between 1 and 100"));
        }
        if self.soak_s > MAX_SOAK_S {
            return Err(Error::invalid("soak_s", format!("is above {MAX_SOAK_S}")));
        }
        let deadlines = self.deadlines.unwrap_or_default();
        check_deadlines(&deadlines)?;
        let begin_s = self.begin_s.unwrap_or(BEGIN_S);
        check_begin_s(begin_s)?;
        let plan = Plan {
            canary: self.canary,
            stages: self.stages,
            max_failures: self.max_failures,
            success_percent: self.success_percent,
            gate: self.gate,
            soak_s: self.soak_s,
            force: self.force,
            deadlines,
            begin_s,
            boxes: self.boxes,
        };
        Ok((name, self.bundle, plan))
    }
}

fn check_boxes(field: &str, boxes: &[BoxId], most: usize) -> Result<(), Error> {
    if boxes.len() > most {
        return Err(Error::invalid(field, format!("are more than {most}")));
    }
    let mut seen = BTreeSet::new();
    match boxes.iter().find(|id| !seen.insert(*id)) {
        Some(twice) => Err(Error::invalid(field, format!("{twice} is named twice"))),
        None => Ok(()),
    }
}

/// A number that a box draws in a rollout: the same for ever.
fn draw(rollout: &str, id: &BoxId) -> u64 {
    let digest = Sha256::new().chain_update(rollout).chain_update([0]).chain_update(id.as_str()).finalize();
    digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

impl Plan {
    /// Stages, the canary's included.
    #[must_use]
    pub(super) fn stage_count(&self) -> usize {
        self.canaries() + self.stages.len()
    }

    /// 1 when there is a stage of canaries.
    fn canaries(&self) -> usize {
        usize::from(!self.canary.is_empty())
    }

    #[must_use]
    pub(super) fn is_canary(&self, stage: usize) -> bool {
        stage < self.canaries()
    }

    /// What a stage is called.
    #[must_use]
    pub(super) fn stage_name(&self, stage: usize) -> String {
        match stage.checked_sub(self.canaries()).and_then(|index| self.stages.get(index)) {
            Some(percent) => format!("{percent} %"),
            None => "canary".to_owned(),
        }
    }

    /// The stage of each box when the rollout starts: as many as the percentages say, chosen by what they draw.
    #[must_use]
    pub(super) fn assign(&self, rollout: &str, boxes: &[BoxId]) -> BTreeMap<BoxId, usize> {
        let canary: BTreeSet<&BoxId> = self.canary.iter().collect();
        let mut others: Vec<&BoxId> = boxes.iter().filter(|id| !canary.contains(id)).collect();
        others.sort_by_key(|id| (draw(rollout, id), (*id).clone()));
        let canaries = boxes.len() - others.len();
        let mut stages = BTreeMap::new();
        for id in boxes.iter().filter(|id| canary.contains(id)) {
            stages.insert(id.clone(), 0);
        }
        for (place, id) in others.into_iter().enumerate() {
            let share = |percent: u8| (boxes.len() * usize::from(percent)).div_ceil(100);
            let index = self.stages.iter().position(|percent| canaries + place < share(*percent));
            let index = index.unwrap_or(self.stages.len() - 1);
            stages.insert(id.clone(), self.canaries() + index);
        }
        stages
    }

    /// The stage of a box that joins while `current` is under way: none that is over.
    #[must_use]
    pub(super) fn stage_of_joiner(&self, rollout: &str, id: &BoxId, current: usize) -> usize {
        if self.canary.contains(id) {
            return current;
        }
        let percent = (u128::from(draw(rollout, id)) * 100) >> 64;
        let index = self.stages.iter().position(|stage| percent < u128::from(*stage));
        (self.canaries() + index.unwrap_or(self.stages.len() - 1)).max(current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<BoxId> {
        (0..count).map(|n| format!("box-{n}").parse().unwrap()).collect()
    }

    fn new(stages: &[u8]) -> NewRollout {
        let bundle = "0".repeat(64);
        let json = serde_json::json!({ "name": "x", "bundle": bundle, "stages": stages });
        serde_json::from_value(json).unwrap()
    }

    fn plan(canary: &[BoxId], stages: &[u8]) -> Plan {
        NewRollout { canary: canary.to_vec(), ..new(stages) }.checked().unwrap().2
    }

    fn sizes(plan: &Plan, assigned: &BTreeMap<BoxId, usize>) -> Vec<usize> {
        (0..plan.stage_count()).map(|stage| assigned.values().filter(|of| **of == stage).count()).collect()
    }

    #[test]
    fn stages_have_the_boxes_that_their_percentages_say() {
        let boxes = ids(20);
        let small = plan(&boxes[..2], &[10, 50, 100]);
        assert_eq!(sizes(&small, &small.assign("r", &boxes)), [2, 0, 8, 10], "10 % are the canaries");
        let large = plan(&[], &[1, 50, 100]);
        assert_eq!(sizes(&large, &large.assign("r", &boxes)), [1, 9, 10], "never less than one box");
        assert_eq!(sizes(&large, &large.assign("r", &ids(1))), [1, 0, 0]);
    }

    #[test]
    fn the_choice_is_the_same_each_time_and_another_in_each_rollout() {
        let boxes = ids(100);
        let plan = plan(&[], &[10, 100]);
        let first = |rollout: &str| -> Vec<BoxId> {
            let assigned = plan.assign(rollout, &boxes);
            assigned.into_iter().filter(|(_, stage)| *stage == 0).map(|(id, _)| id).collect()
        };
        assert_eq!(first("a"), first("a"));
        assert_ne!(first("a"), first("b"));
    }

    #[test]
    fn a_late_joiner_gets_no_stage_that_is_over() {
        let plan = plan(&ids(1), &[10, 50, 100]);
        for id in ids(200) {
            let stage = plan.stage_of_joiner("r", &id, 2);
            assert!((2..4).contains(&stage), "{id}: {stage}");
        }
        let early = ids(200).iter().filter(|id| plan.stage_of_joiner("r", id, 0) == 1).count();
        assert!((5..40).contains(&early), "about a tenth: {early}");
    }

    #[test]
    fn stages_have_names() {
        let plan = plan(&ids(1), &[10, 100]);
        assert_eq!(
            (0..3).map(|stage| plan.stage_name(stage)).collect::<Vec<_>>(),
            ["canary", "10 %", "100 %"]
        );
    }

    #[test]
    fn what_is_not_possible_is_named() {
        let boxes = ids(3);
        let named = |new: NewRollout| match new.checked() {
            Err(Error::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(named(NewRollout { name: " ".into(), ..new(&[100]) }), "name");
        for stages in [&[][..], &[50], &[50, 50, 100], &[0, 100], &[100, 50]] {
            assert_eq!(named(new(stages)), "stages", "{stages:?}");
        }
        assert_eq!(named(NewRollout { success_percent: 0, ..new(&[100]) }), "success_percent");
        assert_eq!(named(NewRollout { boxes: Some(vec![]), ..new(&[100]) }), "boxes");
        let twice = vec![boxes[0].clone(), boxes[0].clone()];
        assert_eq!(named(NewRollout { canary: twice, ..new(&[100]) }), "canary");
        let outside =
            NewRollout { canary: boxes[..1].to_vec(), boxes: Some(boxes[1..].to_vec()), ..new(&[100]) };
        assert_eq!(named(outside), "canary");
    }
}
