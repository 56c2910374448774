"""What others wrote to talk with servers like ours."""
