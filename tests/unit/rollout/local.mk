# unit tests of src/rollout
