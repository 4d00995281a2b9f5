-- The digest of an idempotent request is now sealed beside its answer, so that a rotation can seal it
-- anew. Those made with a data key itself would outlive that key's removal; answers are kept for a day.

DELETE FROM idempotent_answers;
