# unit tests of src/proto
