module ambient.test/ledger

go 1.24
