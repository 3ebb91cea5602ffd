"""Everything that knows MLflow. Importing this package loads nothing: MLflow's plugins live in it."""
