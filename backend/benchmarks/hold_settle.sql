\set wallet random(1, :wallets)
\set number random(1, 9000000000000000000)
BEGIN;
SELECT paid_micros AS paid, held_micros AS held, entry_sequence AS seq FROM wallets WHERE id = 'wal_bench_' || :wallet FOR UPDATE \gset
SELECT count(*) AS earlier FROM holds WHERE wallet_id = 'wal_bench_' || :wallet AND operation_id = 'opr_' || :number \gset
SELECT id AS lot FROM credit_lots WHERE wallet_id = 'wal_bench_' || :wallet AND left_micros > 0 ORDER BY expires_at, id LIMIT 1 \gset
WITH hold AS (INSERT INTO holds (id, wallet_id, operation_id, amount_micros, status, placed_at, expires_at) VALUES ('hld_' || :number, 'wal_bench_' || :wallet, 'opr_' || :number, 10000, 'open', now(), now() + interval '15 min') RETURNING id) INSERT INTO hold_allocations (hold_id, lot_id, amount_micros) SELECT id, 'lot_bench_' || :wallet, 10000 FROM hold;
UPDATE credit_lots SET left_micros = left_micros - 10000, held_micros = held_micros + 10000 WHERE id = 'lot_bench_' || :wallet;
WITH transfer AS (INSERT INTO ledger_transfers (id, kind, occurred_at, reference, corrects, details) VALUES ('trf_h' || :number, 'hold', now(), 'opr_' || :number, NULL, '{}') RETURNING id) INSERT INTO ledger_entries (transfer_id, position, account, wallet_id, amount_micros, currency, balance_after_micros, sequence) SELECT transfer.id, entry.* FROM transfer, (VALUES (0, 'wallet.paid', 'wal_bench_' || :wallet, -10000::bigint, 'RUB', :paid - 10000::bigint, :seq + 1::bigint), (1, 'wallet.held', 'wal_bench_' || :wallet, 10000, 'RUB', :held + 10000::bigint, :seq + 2::bigint)) AS entry;
UPDATE wallets SET paid_micros = paid_micros - 10000, held_micros = held_micros + 10000, entry_sequence = entry_sequence + 2 WHERE id = 'wal_bench_' || :wallet;
COMMIT;
BEGIN;
SELECT paid_micros AS paid, held_micros AS held, entry_sequence AS seq FROM wallets WHERE id = 'wal_bench_' || :wallet FOR UPDATE \gset
SELECT id AS hold FROM holds WHERE wallet_id = 'wal_bench_' || :wallet AND operation_id = 'opr_' || :number \gset
SELECT id AS lot FROM credit_lots WHERE wallet_id = 'wal_bench_' || :wallet AND left_micros > 0 ORDER BY expires_at, id LIMIT 1 \gset
SELECT lot_id AS lot FROM hold_allocations JOIN credit_lots ON credit_lots.id = lot_id WHERE hold_id = 'hld_' || :number \gset
UPDATE holds SET status = 'settled', ended_at = now(), charged_micros = 4000 WHERE id = 'hld_' || :number AND status = 'open';
UPDATE credit_lots SET left_micros = left_micros + 6000, held_micros = held_micros - 10000 WHERE id = 'lot_bench_' || :wallet;
WITH transfer AS (INSERT INTO ledger_transfers (id, kind, occurred_at, reference, corrects, details) VALUES ('trf_s' || :number, 'charge', now(), 'opr_' || :number, NULL, '{}') RETURNING id) INSERT INTO ledger_entries (transfer_id, position, account, wallet_id, amount_micros, currency, balance_after_micros, sequence) SELECT transfer.id, entry.* FROM transfer, (VALUES (0, 'wallet.paid', 'wal_bench_' || :wallet, 6000::bigint, 'RUB', :paid + 6000::bigint, :seq + 1::bigint), (1, 'wallet.held', 'wal_bench_' || :wallet, -10000, 'RUB', :held - 10000::bigint, :seq + 2::bigint), (2, 'revenue', NULL, 4000, 'RUB', NULL, NULL)) AS entry;
UPDATE wallets SET paid_micros = paid_micros + 6000, held_micros = held_micros - 10000, entry_sequence = entry_sequence + 2 WHERE id = 'wal_bench_' || :wallet;
COMMIT;
