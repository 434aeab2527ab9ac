-- The tables that machines fill all day long are merged in fewer and wider steps.
--
-- A merge of a row costs about as much as its insert, and with the usual base of 5 each row is merged again whenever five
-- parts of a size have come together. With 16 it is merged a third as often; a month of a table has some parts more.
ALTER TABLE heartbeat_sent MODIFY SETTING merge_selector_base = 16;

ALTER TABLE metrics_logged MODIFY SETTING merge_selector_base = 16;

ALTER TABLE resources_sampled MODIFY SETTING merge_selector_base = 16;

ALTER TABLE steps_timed MODIFY SETTING merge_selector_base = 16;
