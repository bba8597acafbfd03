//! What agents' answers weigh: a client's answer is made of those of all agents, and none of them
//! is the controller's own.

use std::mem::size_of;

use broker_proto::Data;
use broker_proto::zeek::Any;
use tracing::warn;

use crate::api::ApiResult;

/// The most that agents' answers to one request may take in memory, in bytes; the limit
/// `answer_bytes` of API §16. A thousand agents with 16 nodes answer with a tenth of that.
const ANSWER_BYTES: usize = 64 << 20;

/// What is left of that for one request.
#[derive(Debug)]
pub(super) struct Allowance(usize);

impl Default for Allowance {
    fn default() -> Self {
        Self(ANSWER_BYTES)
    }
}

impl Allowance {
    /// Takes an agent's answer in.
    ///
    /// # Errors
    /// If there is no room for it: why, in words that follow the instance's name.
    pub(super) fn admit(
        &mut self,
        instance: &str,
        results: Vec<ApiResult>,
    ) -> Result<Vec<ApiResult>, String> {
        let weight = results.iter().map(weight).sum::<usize>();
        if let Some(left) = self.0.checked_sub(weight) {
            self.0 = left;
            return Ok(results);
        }
        warn!(
            instance,
            weight,
            left = self.0,
            "an agent's answer is too large"
        );
        Err(format!(
            "answered too much: answer_bytes is {ANSWER_BYTES} for all answers to a request"
        ))
    }
}

fn weight(result: &ApiResult) -> usize {
    let ApiResult {
        reqid,
        instance,
        data,
        error,
        node,
        success: _,
    } = result;
    let texts = [instance, error, node].into_iter().flatten();
    let texts = texts.map(String::len).sum::<usize>();
    let data = match data {
        Some(Any::Data(data)) => data_weight(data),
        Some(Any::Packed(view)) => view.bytes().len(),
        None => 0,
    };
    size_of::<ApiResult>() + reqid.len() + texts + data
}

/// The recursion is as deep as what was decoded, which is limited.
fn data_weight(data: &Data) -> usize {
    let below = match data {
        Data::String(text) | Data::Enum(text) => text.as_bytes().len(),
        Data::Vector(items) => items.iter().map(data_weight).sum(),
        Data::Set(items) => items.iter().map(data_weight).sum(),
        Data::Table(entries) => entries
            .iter()
            .map(|(key, value)| data_weight(key) + data_weight(value))
            .sum(),
        Data::None
        | Data::Boolean(_)
        | Data::Count(_)
        | Data::Integer(_)
        | Data::Real(_)
        | Data::Address(_)
        | Data::Subnet(_)
        | Data::Port(_)
        | Data::Timestamp(_)
        | Data::Timespan(_) => 0,
    };
    size_of::<Data>() + below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_too_much_together_are_left_out_by_name() {
        let mut allowance = Allowance::default();
        let answer = |len| {
            let text = Data::string("x".repeat(len));
            vec![ApiResult::ok("r").with_data(Data::Vector(vec![text]))]
        };
        let half = answer(ANSWER_BYTES / 2);
        assert_eq!(allowance.admit("a", half.clone()), Ok(half.clone()));
        let problem = "answered too much: answer_bytes is 67108864 for all answers to a request";
        assert_eq!(allowance.admit("b", half), Err(problem.to_owned()));
        let small = answer(1000);
        assert_eq!(allowance.admit("c", small.clone()), Ok(small));
    }

    #[test]
    fn small_values_count_for_the_memory_that_they_take() {
        let many = Data::Vector(vec![Data::None; 1 << 20]);
        assert!(data_weight(&many) >= size_of::<Data>() << 20);
    }
}
