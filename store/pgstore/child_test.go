package pgstore_test

const childVariable = "PGSTORE_TEST_CHILD"

func playChild(string) {}
